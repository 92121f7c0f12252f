"""Completions of chat models: thoughts, end marks, corrections, and what stops at the token limit.

Each answer is one that `f([3, 1, 2])` returns 6 for, unless `gives` says otherwise; the drafts in thoughts return 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.benchmarks.completion_shapes import PLAIN, SUM, TYPED, WHOLE, Shape

DRAFT = "Draft:\n```python\ndef f(x):\n    return 0\n```\nHmm.\n"
FENCED = "```python\n" + WHOLE + "```"

AROUND_THOUGHTS = [
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"), ("<reasoning>", "</reasoning>"), ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>\n", "<|end_of_thought|>\n<|begin_of_solution|>"),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>"), ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("analysis", "assistantfinal"),
    ("Here is my thought process:", "Here is my response:"),
]  # fmt: skip

END_MARKS = [
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<|endoftext|>", "<|endofprompt|>",
    "<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|>", "<|end_of_solution|>", "<|user|>\nthanks", "<|observation|>",
    "<|fim_middle|>", "<|fim_pad|>", "<|EOT|>", "<|end_of_role|>", "<|role_end|>", "<eos>", "<pad><pad>", "<EOT>",
    "<end_of_turn>\n<eos>", "<end_of_turn>\n<start_of_turn>user", "<turn|>", "<|turn>user\nhi", "</s>", "</s></s>",
    "<jupyter_start>", "<jupyter_code>x", "<gh_stars>100", "<reponame>a/b", "<filename>a.py\nx", "<file_sep>",
    "<fim_middle>", "<commit_msg>y", "<issue_start>", "[|endofturn|]",
    "<\uff5cend\u2581of\u2581sentence\uff5c>", "<\uff5cUser\uff5c>hi", "[/INST]",
]  # fmt: skip

THOUGHTS = [
    *[Shape(f"thoughts in {begin!r}", begin + DRAFT + end + "\n" + FENCED) for begin, end in AROUND_THOUGHTS],
    *[Shape(f"thoughts in {begin!r}, then code", begin + DRAFT + end + "\n" + WHOLE) for begin, end in AROUND_THOUGHTS],
    *[
        Shape(f"thoughts that {begin!r} in the prompt began", DRAFT + end + "\n" + FENCED)
        for begin, end in AROUND_THOUGHTS
        if begin != "analysis"
    ],
    *[
        Shape(f"thoughts in {begin!r} that are never closed", begin + DRAFT, gives=NameError)
        for begin, end in AROUND_THOUGHTS
        if begin != "analysis" and "process" not in begin
    ],
    Shape("thoughts after the answer", FENCED + "\n<think>" + DRAFT + "</think>"),
    Shape("thoughts after the answer, and an end mark", FENCED + "\n<think>" + DRAFT + "</think><|im_end|>"),
    Shape("thoughts after the answer that are never closed", FENCED + "\n<think>\n" + DRAFT),
    Shape("prose about a mark of thoughts", "I use no <think> here.\n" + FENCED),
    Shape("thoughts, an answer in tags, reasons", "<thinking>" + DRAFT + "</thinking><answer>" + WHOLE + "</answer>"),
    Shape("thoughts, a response in tags", "<think>" + DRAFT + "</think>\n\n<response>\n" + FENCED + "\n</response>"),
    Shape("two thoughts", "<think>" + DRAFT + "</think>\n<think>" + DRAFT + "</think>\n" + FENCED),
    Shape("gpt-oss, two channels", "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary"
          "<|message|>So.<|end|><|start|>assistant<|channel|>final<|message|>" + FENCED + "<|return|>"),
    Shape("gpt-oss, final alone", "<|channel|>final<|message|>" + FENCED + "<|return|>"),
    Shape("the assistant's header", "<|im_start|>assistant\n" + WHOLE + "<|im_end|>"),
    Shape("Llama's header", "<|start_header_id|>assistant<|end_header_id|>\n\n" + WHOLE + "<|eot_id|>"),
    Shape("a mark of thoughts in a string", "def f(x):\n    y = '<think>'\n    return sum(x)\n"),
    Shape("an end of thoughts in a docstring", "def f(x):\n    '''\n</thinking>\n'''\n    return sum(x)\n"),
]  # fmt: skip

ENDS = [
    *[Shape(f"code, then {mark!r}", WHOLE + mark) for mark in END_MARKS],
    *[Shape(f"body, then {mark!r}", SUM + mark) for mark in END_MARKS],
    *[Shape(f"fence, then {mark!r}", FENCED + mark) for mark in END_MARKS],
    Shape("names in a comparison", "def f(x):\n    a = pad = b = 1\n    return sum(x) if not a <pad> b else 0\n"),
    Shape("a mark in a string", "def f(x):\n    y = '<|return|>'\n    return sum(x)\n"),
]

ZERO = "def f(x):\n    return 0\n"
VERSIONS = [
    Shape("a correction in a second fence", "```python\n" + ZERO + "```\nThat is wrong, corrected:\n" + FENCED),
    Shape("a correction after a word", "```python\n" + ZERO + "```\nWait.\n" + FENCED + "\nDone.\n"),
    Shape("a correction without fences", ZERO + "\nThat's wrong, here is the corrected one:\n\n" + WHOLE),
    Shape("two corrections without fences", ZERO + "\nNo, wrong.\n\n" + ZERO + "\nThat's still wrong.\n\n" + WHOLE),
    Shape("a correction that needs the first one's import",
          "import math\n\n" + ZERO + "\nThat's wrong:\n\ndef f(x):\n    return int(math.fsum(x))\n"),
    Shape("a correction that needs a helper beside the first one",
          "```\n@staticmethod\ndef g(x):\n    return sum(x)\n\n" + ZERO
          + "```\nNo:\n```\ndef f(x):\n    return g(x)\n```"),
    Shape("a correction that needs another fence's helper",
          "```python\ndef g(x):\n    return sum(x)\n```\n```python\n" + ZERO
          + "```\nNo:\n```python\ndef f(x):\n    return g(x)\n```"),
    Shape("a correction that is cut off", FENCED + "\nOr shorter, let me correct it:\n```python\ndef f(x):\n    ret("),
    Shape("an alternative", FENCED + "\nAlternatively:\n```python\n" + ZERO + "```\n"),
    Shape("a stub after the answer", FENCED + "\nThe interface:\n```python\ndef f(x):\n    ...\n```\n"),
    Shape("a use after the answer", FENCED + "\nUse it so:\n```python\nprint(f([1]))\n```\n"),
    Shape("a draft in prose, the answer in a fence", ZERO + "\nThat's wrong. The answer:\n" + FENCED),
]  # fmt: skip

CUT = [
    Shape("cut off in a later function", WHOLE + "\n\ndef g(x):\n    return (x"),
    Shape("cut off in a later function's first line", WHOLE + "\n\ndef g(x"),
    Shape("cut off in a later decorated function", WHOLE + "\n\n@staticmethod\ndef g(x"),
    Shape("cut off in a call at the margin", WHOLE + "\nprint(f([1, 2"),
    Shape("cut off in a test that parses", WHOLE + "\nassert f([1, 2]) == 1"),
    Shape("cut off in a main guard", WHOLE + "\nif __name__ == '__main__':\n    print(f([1"),
    Shape("cut off in a string at the margin", WHOLE + "\nTEXT = '''\nSome\ntext"),
    Shape("body, cut off in a later function", SUM + "\n\ndef g(x):\n    return (x"),
    Shape("fence, cut off in a later function", "```python\n" + WHOLE + "\n\ndef g(x):\n    return (x"),
    Shape("typed, cut off in a later function", TYPED + SUM + "\n\ndef g(x", TYPED),
    Shape("prose that is cut off", FENCED + "\nThis function retur"),
    Shape("a helper that is whole", "def f(x):\n    return g(x)\n\n\ndef g(x):\n    return sum(x)"),
    Shape("cut off in the function", "def f(x):\n    return sum(x", gives=SyntaxError),
    Shape("cut off in the function after a helper", "def g(x):\n    return x\n\n\ndef f(x):\n    return sum(x",
          gives=SyntaxError),
    Shape("a fault before the cut", WHOLE + "\n\ndef g(x):\n    return x x\n\n\ndef h(x", gives=SyntaxError),
    Shape("cut off in the body", "    y = x\n    return sum(y", gives=SyntaxError),
    Shape("cut off after a stub", "def f(x):\n    pass\n\n\ndef g(x", gives=SyntaxError),
    Shape("cut off in the thoughts", "<think>" + DRAFT, gives=NameError),
]  # fmt: skip


@dataclass(frozen=True)
class ExpressionShape:
    name: str
    completion: str
    prompt: str
    gives: Any = 6


METHOD = "class Solution:\n    def f(self, x):\n        return sum(x)\n"
STUB = "class Solution:\n    def f(self, x):\n        '''Sum of the numbers in x.'''\n"
EXPRESSIONS = [
    ExpressionShape("a class", METHOD, "from typing import *\n\n"),
    ExpressionShape("a class in a fence", "Sure:\n```python\n" + METHOD + "```\nDone.", "from typing import *\n\n"),
    ExpressionShape("a class that needs the prompt's import", METHOD.replace("x)", "x: List[int])", 1),
                    "from typing import *\n\n"),
    ExpressionShape("a method's body", "        return sum(x)\n", STUB),
    ExpressionShape("a method's body in a fence", "```python\nreturn sum(x)\n```", STUB),
    ExpressionShape("a class, then prose", METHOD + "\nThat's the sum of the list.\n", PLAIN),
    ExpressionShape("a corrected class", METHOD.replace("sum(x)", "0") + "\nThat's wrong.\n\n" + METHOD, STUB),
]  # fmt: skip
