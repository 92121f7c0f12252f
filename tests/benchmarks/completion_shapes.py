"""Shapes of model output, each with the program's expected behaviour.

`gives` is what `f([3, 1, 2])` returns (a dict of calls for other functions), or the exception that running the program
and calling it raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PLAIN = 'def f(x):\n    """Sum of the numbers in x."""\n'
TYPED = (
    "from typing import List\nimport math\n\n\ndef f(x: List[int]) -> int:\n"
    '    """ Sum of the numbers in x.\n    >>> f([1, 2])\n    3\n    """\n'
)
HELPED = "def double(n):\n    return 2 * n\n\n\ndef f(x):\n    '''Half of the doubled sum of x, see double.'''\n"
BARE = "def f(x):"  # no docstring, no end of line
OPEN = 'def f(x):\n    """Sum of the numbers in x."""\n    '  # ends in the indentation of the body
TABBED = 'def f(x):\n\t"""Sum of the numbers in x."""\n'
TEXT = '"""\nWrite a function f that sums the numbers in a list.\nassert f([3, 1, 2]) == 6\n"""\n'

WHOLE = "def f(x):\n    return sum(x)\n"
LOOP = "    total = 0\n    for n in x:\n        total += n\n    return total\n"
LOOP_AT_MARGIN = "total = 0\nfor n in x:\n    total += n\nreturn total\n"


@dataclass(frozen=True)
class Shape:
    name: str
    completion: str
    prompt: str = PLAIN
    gives: Any = 6


BODIES = [
    Shape("body", "    return sum(x)\n"),
    Shape("body of several lines", LOOP),
    Shape("body without the last line's end", "    return sum(x)"),
    Shape("body after an empty line", "\n    return sum(x)\n"),
    Shape("body after a comment", "    # add them up\n    return sum(x)\n"),
    Shape("body with a comment at the margin", "# add them up\n    return sum(x)\n"),
    Shape("body at the margin", "return sum(x)\n"),
    Shape("body of several lines at the margin", LOOP_AT_MARGIN),
    Shape("body at the margin that begins with a block", "for n in [sum(x)]:\n    return n\n"),
    Shape("body whose first line lost its indentation", LOOP.lstrip()),
    Shape("the same, beginning with a block", "if not x:\n        return 0\n    return sum(x)\n"),
    Shape("body whose first line has one blank", " total = sum(x)\n    return total\n"),
    Shape("one line with one blank", " return sum(x)\n"),
    Shape("body with two blanks", "  total = sum(x)\n  return total\n", gives=IndentationError),
    Shape("first line with two blanks", "  total = sum(x)\n    return total\n", gives=IndentationError),
    Shape("body with eight blanks", "        total = sum(x)\n        return total\n", gives=IndentationError),
    Shape("body with tabs", "\ttotal = sum(x)\n\treturn total\n", gives=TabError),
    Shape("fenced body with two blanks", "```\n  total = sum(x)\n  return total\n```\n"),
    Shape("fenced body with eight blanks", "```\n        total = sum(x)\n        return total\n```\n"),
    Shape("fenced body with tabs", "```py\n\ttotal = 0\n\tfor n in x:\n\t\ttotal += n\n\n\treturn total\n```"),
    Shape("body with tabs under a prompt with tabs", "\treturn sum(x)\n", TABBED),
    Shape("fenced body with blanks under a prompt with tabs", "```\n" + LOOP + "```", TABBED),
    Shape(
        "tabs and blanks mixed in one block",
        "    total = 0\n    for n in x:\n\ttotal += n\n    return total\n",
        gives=TabError,
    ),
    Shape("blanks and tabs that Python takes", "    if x:\n    \treturn sum(x)\n"),
    Shape("body with carriage returns", LOOP.replace("\n", "\r\n")),
    Shape("body with an inner function", "    def g(n):\n        return n\n\n    return sum(g(n) for n in x)\n"),
    Shape("body at the margin with an inner function", "def g(n):\n    return n\n\nreturn sum(g(n) for n in x)\n"),
    Shape("body, then a helper", "    return g(x)\n\n\ndef g(x):\n    return sum(x)\n"),
    Shape("body, then a test", '    return sum(x)\n\n\nif __name__ == "__main__":\n    print(f([1]))\n'),
    Shape("body with an import", "    import functools\n    return functools.reduce(lambda a, b: a + b, x)\n"),
    Shape("body that uses the prompt's import", "    return math.floor(math.fsum(x))\n", TYPED),
    Shape("body that uses the prompt's helper", "    return double(sum(x)) // 2\n", HELPED),
    Shape("body behind a bare signature", "\n    return sum(x)\n", BARE),
    Shape("body at once behind a bare signature", " return sum(x)\n", BARE),
    Shape("body without a line's end before it", "    return sum(x)\n", BARE),
    Shape("body where the prompt ends in its indentation", "return sum(x)\n", OPEN),
    Shape("several lines where the prompt ends in their indentation", LOOP.lstrip(), OPEN),
    Shape("body, then prose", LOOP + "\nThis function adds the numbers one by one.\n"),
    Shape("body, then a heading and prose", LOOP + "\n### Explanation:\nWe add, it's easy.\n"),
    Shape(
        "body, then the next instruction", LOOP + "\n### Instruction:\nWrite a poem about it.\n\n### Response:\nRoses"
    ),
    Shape("prose, then a body", "The body of the function is:\n\n" + LOOP),
    Shape("prose, body, prose", "Sure, here you go:\n\n" + LOOP + "\nI hope this helps!\n"),
    Shape("body in a fence", "```python\n" + LOOP + "```\n"),
    Shape("body at the margin in a fence", "```python\n" + LOOP_AT_MARGIN + "```\n"),
    Shape("body, then a closing fence", LOOP + "```\n"),
    Shape("body, closing fence, prose", LOOP + "```\n\nThis works since addition is commutative.\n"),
    Shape("body at the margin, closing fence, prose", LOOP_AT_MARGIN + "```\nDone.\n"),
    Shape("body, then the function over again", "    return sum(x)\n\n\ndef f(x):\n    return sum(x) + 0\n"),
    Shape(
        "body with a string that looks like prose", "    s = '''\nThis is text.\n'''\n    return sum(x) + 0 * len(s)\n"
    ),
    Shape("comment alone", "    # TODO\n", gives=None),
    Shape("pass", "    pass\n", gives=None),
]

MODULES = [
    Shape("signature repeated", WHOLE),
    Shape("prompt repeated", PLAIN + LOOP),
    Shape("typed prompt repeated", TYPED + LOOP, TYPED),
    Shape("typed signature without its import", "def f(x: List[int]) -> int:\n    return sum(x)\n", TYPED),
    Shape("repeated signature, prompt's helper", "def f(x):\n    return double(sum(x)) // 2\n", HELPED),
    Shape("repeated signature and helper", HELPED + "    return double(sum(x)) // 2\n", HELPED),
    Shape(
        "own version of the prompt's helper",
        "def double(n):\n    return n\n\n\ndef f(x):\n    return double(sum(x))\n",
        HELPED,
    ),
    Shape("other parameter names", "def f(numbers):\n    return sum(numbers)\n"),
    Shape("import before", "import functools\n\ndef f(x):\n    return functools.reduce(lambda a, b: a + b, x)\n"),
    Shape(
        "from-import before", "from functools import reduce\n\ndef f(x):\n    return reduce(lambda a, b: a + b, x)\n"
    ),
    Shape(
        "future import before",
        "from __future__ import annotations\n\ndef f(x: List[int]) -> Foo:\n    return sum(x)\n",
        TYPED,
    ),
    Shape("constant before", "START = 0\n\ndef f(x):\n    return sum(x, START)\n"),
    Shape("annotated constant before", "START: int = 0\n\ndef f(x):\n    return sum(x, START)\n"),
    Shape("helper before", "def g(x):\n    return sum(x)\n\ndef f(x):\n    return g(x)\n"),
    Shape("helper after", "def f(x):\n    return g(x)\n\ndef g(x):\n    return sum(x)\n"),
    Shape(
        "class before",
        "class Adder:\n    def add(self, x):\n        return sum(x)\n\ndef f(x):\n    return Adder().add(x)\n",
    ),
    Shape(
        "decorator",
        "import functools\n\n@functools.cache\ndef g(n):\n    return n\n\ndef f(x):\n    return sum(map(g, x))\n",
    ),
    Shape("lambda", "f = lambda x: sum(x)\n"),
    Shape("asserts after", WHOLE + "\nassert f([1, 2]) == 3\n"),
    Shape("main guard", WHOLE + '\nif __name__ == "__main__":\n    print(f([1, 2]))\n'),
    Shape("usage example", WHOLE + "\nnumbers = [1, 2]\nprint(f(numbers))\n"),
    Shape("tabs", "def f(x):\n\ttotal = 0\n\tfor n in x:\n\t\ttotal += n\n\treturn total\n"),
    Shape("two versions, the last counts", "def f(x):\n    return 0\n\n" + WHOLE),
    Shape("prose before", "Here is the function you asked for:\n\n" + WHOLE),
    Shape("prose that begins like code", "from the list we take every number.\n\n" + WHOLE),
    Shape("prose after", WHOLE + "\nThis function returns the sum of the list.\n"),
    Shape("lower-case prose after", WHOLE + "\nwe use sum here, since it's fast\n"),
    Shape("prose on both sides", "Sure!\n\n" + WHOLE + "\n1. It's short.\n2. It's right.\n"),
    Shape(
        "prose before the import", "You can do it like so:\n\nimport math\n\ndef f(x):\n    return int(math.fsum(x))\n"
    ),
    Shape("the next instruction", WHOLE + "\n### Instruction:\nWrite another, don't stop.\n\n### Response:\ndef g(x"),
    Shape("indented as a whole", "    def f(x):\n        return sum(x)\n"),
    Shape(
        "indented, after prose",
        "The code:\n\n    import math\n\n    def f(x):\n        return int(math.fsum(x))\n\nThat's it.\n",
    ),
    Shape("end-of-turn token", WHOLE + "<|im_end|>\n<|im_start|>user\nThanks"),
    Shape("end-of-text token", WHOLE + "<|endoftext|>import os\nos.abort()"),
    Shape("thoughts before", "<think>Maybe def f(x): pass?\ndef f(x):\n    pass\n</think>\n\n" + WHOLE),
    Shape("language without its fence", "python\n" + WHOLE),
    Shape("after a text prompt", WHOLE, TEXT),
]

FENCES = [
    Shape("fence", "```python\n" + WHOLE + "```\n"),
    Shape("fence without a language", "```\n" + WHOLE + "```\n"),
    Shape("fence py", "```py\n" + WHOLE + "```"),
    Shape("fence in capitals", "```Python\n" + WHOLE + "```"),
    Shape("fence with a blank and a title", '``` python title="f.py"\n' + WHOLE + "```"),
    Shape("tildes", "~~~python\n" + WHOLE + "~~~\n"),
    Shape("four backticks around three", "````python\ndef f(x):\n    '''\n```\n'''\n    return sum(x)\n````\n"),
    Shape("fence that is never closed", "```python\n" + WHOLE),
    Shape("prose around a fence", "Sure! Here's the code:\n\n```python\n" + WHOLE + "```\n\nIt adds them up.\n"),
    Shape("fence in a list item", "1. The code:\n\n   ```python\n   def f(x):\n       return sum(x)\n   ```\n"),
    Shape("fence, then a fence with the output", "```python\n" + WHOLE + "```\nOutput:\n```\n6\n```\n"),
    Shape("usage first", "Use it so:\n```python\nprint(f([1]))\n```\nThe code:\n```python\n" + WHOLE + "```\n"),
    Shape("shell first", "```bash\npip install numpy\n```\n```python\n" + WHOLE + "```\n"),
    Shape(
        "imports in a fence of their own",
        "```python\nimport math\n```\nthen\n```python\ndef f(x):\n    return int(math.fsum(x))\n```\n",
    ),
    Shape(
        "helper in a later fence",
        "```python\ndef f(x):\n    return g(x)\n```\nwith\n```python\ndef g(x):\n    return sum(x)\n```\n",
    ),
    Shape(
        "two versions: the first counts", "```python\n" + WHOLE + "```\nor\n```python\ndef f(x):\n    return 0\n```\n"
    ),
    Shape("code, then a fence with its use", WHOLE + "\nExample:\n```\n>>> f([1])\n1\n```\n"),
    Shape("code, then a closing fence", WHOLE + "```\n"),
    Shape("fenced, prompt's import needed", "```python\ndef f(x: List[int]) -> int:\n    return sum(x)\n```", TYPED),
    Shape("fenced lambda", "```python\nf = lambda x: sum(x)\n```"),
    Shape("fenced body that begins with an assignment", "```\ntotal = sum(x)\nreturn total\n```"),
]

INNER = "def g(n):\n    return n\n\n"
SUM = "    return sum(x)\n"

TURNS = [
    Shape("end token in a string", "def f(x):\n    y = '</s>'\n    return sum(x)\n"),
    Shape("end token in a string of a body", "    y = '</s>'\n    return sum(x)\n"),
    Shape("end token in a text over several lines", "def f(x):\n    '''\n<|im_end|>\n'''\n" + SUM + "</s>"),
    Shape("end token in an f-string, and at the end", "def f(x):\n    y = f'</s>{x}'\n    return sum(x)\n</s>"),
    Shape("end token in a comment", "def f(x):  # until </s>\n    return sum(x)\n"),
    Shape(
        "end token in a fenced string", "Here:\n```python\ndef f(x):\n    y = '</s>'\n" + SUM + "```\n<|im_end|>\nyes"
    ),
    Shape("end token in a fenced comment", "Here:\n```python\ndef f(x):\n    # no </s>\n" + SUM + "```<|im_end|>\nyes"),
    Shape("end of thoughts in a comment", "def f(x):\n    # </think> is a mark\n    return sum(x)\n"),
    Shape(
        "thoughts before it in a fenced string",
        "<think>so</think>\n```\ndef f(x):\n    y = '</think>'\n" + SUM + "```\n",
    ),
    Shape("thoughts that the prompt began", "So it is a sum.\n</think>\n\n" + WHOLE),
    Shape("thoughts about thoughts", "<think>After </think> comes code.</think>\n" + WHOLE),
    Shape("marks of instructions in strings", "def f(x):\n    y = '[INST]' + \"[/INST]\"\n    return sum(x)\n"),
    Shape("an instruction behind", WHOLE + "[INST] Thanks"),
    Shape("an instruction that is cut off behind its mark", WHOLE + "[INST]"),
    Shape("prose with an apostrophe, then the end", WHOLE + "\nIt's done.</s>\nUser: x = (\n"),
    Shape("the same in lower case", WHOLE + "\nthat's all it needs</s>\nUser: x = (\n"),
    Shape("MBPP's tags", "[BEGIN]\n" + WHOLE + "[DONE]\n"),
    Shape("MBPP's second tag", WHOLE + "[DONE]\n\nYou are an expert"),
    Shape("MBPP's second tag, then another task", WHOLE + "[DONE]\n\n[BEGIN]\ndef f(x):\n    return 0\n[DONE]"),
    Shape("body, then MBPP's second tag", SUM + "[DONE]\n\nYou are an expert"),
    Shape("CodeLlama's tags", "[PYTHON]\n" + WHOLE + "[/PYTHON]\n[TESTS]\nassert f([1]) == 2\n[/TESTS]"),
    Shape("CodeLlama's tags, tests first", "[PYTHON]\nf([1])\n[/PYTHON]\n[PYTHON]\n" + WHOLE + "[/PYTHON]"),
    Shape("tags in strings", "def f(x):\n    y = '[BEGIN]' + '</answer>'\n    return sum(x)\n"),
    Shape("prose about a tag, then a fence", "Use [DONE] to end.\n\n```python\n" + WHOLE + "```\n"),
    Shape("prose about two tags", "I write [PYTHON] and [/PYTHON] around it.\n\n```python\n" + WHOLE + "```\n"),
    Shape("prose about a tag, then tags", "Use [DONE] to end.\n[BEGIN]\n" + WHOLE + "[DONE]\nmore"),
    Shape("prose about a tag behind the code", "```python\n" + WHOLE + "```\nI leave out [DONE], of course.\n"),
    Shape("prose, body, MBPP's second tag", "The body is:\n\n" + SUM + "[DONE]\nYou are an expert"),
    Shape("body that does nothing, then MBPP's second tag", "    pass\n[DONE]\nYou are", gives=None),
    Shape("answer tags", "<answer>\n" + WHOLE + "</answer>"),
    Shape("thoughts, answer tags, fence", "<think>hm</think><answer>\n```python\n" + WHOLE + "```\n</answer>"),
    Shape("another speaker", WHOLE + "\nHuman: thanks\nAssistant: welcome"),
    Shape("body, then another speaker", SUM + "\nHuman: thanks\n"),
    Shape("a speaker before", "Answer: here\n\n" + WHOLE),
    Shape("an annotation of its own", "count: int\nTotal: int = 0\n\n" + WHOLE),
    Shape("a bare annotation of a name that is used", "def f(x):\n    return G * sum(x)\n\nG: int\nG = 1\n"),
    Shape("a bare annotation of a class's name", "N: type\n\nclass N(int):\n    pass\n\n" + WHOLE + "assert N"),
    Shape("two speakers, one of them twice", WHOLE + "\nHuman: thanks\nAssistant: Human\nHuman: nope\n"),
    Shape("byte order mark", "\ufeff" + WHOLE),
    Shape("byte order mark before a body", "\ufeff" + LOOP),
    Shape("module with carriage returns", WHOLE.replace("\n", "\r\n")),
    Shape("fence with carriage returns", f"Here:\n```python\n{WHOLE}```\nGood.\n".replace("\n", "\r\n")),
]

INNER_NAMES = [
    Shape("body at the margin with an import, and the function's name as a variable's",
          "import math\nf = math.fsum(x)\nreturn int(f)\n"),
    Shape("the same after prose", "Sure:\n\nimport math\nf = math.fsum(x)\nreturn int(f)\n"),
    Shape("the same with an inner function", INNER + "f = sum(map(g, x))\nreturn f\n"),
    Shape("body with an import, then the name at the margin",
          "    import math\n    return int(math.fsum(x))\n\nf = print and f\n"),
    Shape("body with an inner function, then the name at the margin",
          "    def g(n):\n        return n\n    return sum(map(g, x))\n\nf = f\n"),
    Shape("one blank before a module with a coroutine", " async def g(x):\n    return 0\n\n" + WHOLE),
    Shape("one blank before a module", " import math\n\ndef f(x):\n    return int(math.fsum(x))\n"),
    Shape("module with an async function before", "async def g(x):\n    return 0\n\n" + WHOLE),
    Shape("body with an async function in it", "    async def g(x):\n        return 0\n    return sum(x)\n"),
    Shape("body at the margin with an async function in it", "async def g(x):\n    return 0\nreturn sum(x)\n"),
    Shape("indented as a whole with an async function", "  async def g(x):\n    pass\n\n  def f(x):\n" + SUM),
]  # fmt: skip

MORE_FENCES = [
    Shape("closing fence behind the code", "```python\ndef f(x):\n    return sum(x)```\nDone."),
    Shape("closing fence behind a body", "```python\n    return sum(x)```\nDone."),
    Shape("fence in a comment", "```python\ndef f(x):\n    y = 1  # ```\n    return sum(x)\n```\n"),
    Shape("fence on one line", "```python def f(x): return sum(x)```"),
    Shape("fence on one line without a language", "```def f(x): return sum(x)```\nGood."),
    Shape("body in a fence on one line", "```return sum(x)```"),
    Shape("code behind the opening fence", "```def f(x):\n    return sum(x)\n```\nGood."),
    Shape("prose that begins with code in a fence", "```f(x)``` sums.\n\n```python\n" + WHOLE + "```"),
    Shape("fence in a docstring in a fence",
          "```python\ndef f(x):\n    \"\"\"Sum.\n\n    ```\n    f([1])\n    ```\n    \"\"\"\n" + SUM + "```\nIt's ok."),
    Shape("docstring that is never closed, in a fence",
          "```python\ndef f(x):\n    '''Sum.\n    return sum(x)\n```\nDone.\n", gives=SyntaxError),
    Shape("stub first", "```python\ndef f(x):\n    ...\n```\nthen\n```python\n" + WHOLE + "```"),
    Shape("stub with a docstring first",
          "```python\ndef f(x):\n    '''Sum.'''\n    pass\n```\nthen\n```python\n" + WHOLE + "```"),
    Shape("stub that raises first",
          "```python\ndef f(x):\n    raise NotImplementedError\n```\n```python\n" + WHOLE + "```"),
    Shape("stub alone", "```python\ndef f(x):\n    ...\n```\n", gives=None),
]  # fmt: skip

FAILING = [
    Shape("other name", "def g(x):\n    return sum(x)\n", gives=NameError),
    Shape("other name, a coroutine's", "async def g(x):\n    return sum(x)\n", gives=NameError),
    Shape("other name in a fence", "```python\ndef g(x):\n    return sum(x)\n```", gives=NameError),
    Shape("prose, then another name", "Sure!\n\ndef g(x):\n    return sum(x)\n", gives=NameError),
    Shape("a method", "class Solution:\n    def f(self, x):\n        return sum(x)\n", gives=NameError),
    Shape("prose alone", "I'm sorry, but I can't do that.\n", gives=SyntaxError),
    Shape("cut off in the function", "def f(x):\n    return sum(x", gives=SyntaxError),
    Shape("cut off in a fence", "Here:\n```python\ndef f(x):\n    return sum(x", gives=SyntaxError),
    Shape("cut off in the body", "    return sum(x", gives=SyntaxError),
    Shape("cut off in a later function", WHOLE + "\ndef g(x):\n    return (x", gives=SyntaxError),
    Shape("cut off in a later function's first line", WHOLE + "\ndef g(x", gives=SyntaxError),
    Shape("cut off in a call at the margin", WHOLE + "\nprint(f([1, 2", gives=SyntaxError),
    Shape("wrong indentation", "    total = 0\n      return sum(x)\n", gives=IndentationError),
    Shape("wrong indentation in a module", "def f(x):\n    total = 0\n  return total\n", gives=IndentationError),
    Shape("syntax error", "    return sum x\n", gives=SyntaxError),
    Shape("a failing assert of its own", WHOLE + "\nassert f([1, 2]) == 4\n", gives=AssertionError),
]

SHAPES = [*BODIES, *MODULES, *FENCES, *TURNS, *INNER_NAMES, *MORE_FENCES, *FAILING]
