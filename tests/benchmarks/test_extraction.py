"""From completion to program, by running the program."""

from __future__ import annotations

import time
import types
from typing import Any

import pytest

from codedistill.benchmarks import Problem, program_source
from tests.benchmarks.chat_shapes import CUT, ENDS, EXPRESSIONS, THOUGHTS, VERSIONS, ExpressionShape
from tests.benchmarks.completion_shapes import LOOP, PLAIN, SHAPES, TYPED, WHOLE, Shape


def problem(prompt: str = PLAIN) -> Problem:
    return Problem("t/0", prompt, "f", "")


def outcome(source: str, entry_point: str = "f") -> Any:
    """What f([3, 1, 2]) returns when the program is run, or the type of the exception."""
    module = types.ModuleType("program")
    try:
        exec(compile(source, "program", "exec", dont_inherit=True), module.__dict__)
        return eval(entry_point, vars(module))([3, 1, 2])
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_the_program_does_what_the_model_wrote(shape: Shape) -> None:
    source = program_source(problem(shape.prompt), shape.completion)
    assert outcome(source) == shape.gives, f"\n{source}"


def test_the_shapes_have_different_names() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) > 100


CHAT = [*THOUGHTS, *ENDS, *VERSIONS]


@pytest.mark.parametrize("shape", CHAT, ids=[shape.name for shape in CHAT])
def test_chat_markup_and_corrections(shape: Shape) -> None:
    source = program_source(problem(shape.prompt), shape.completion)
    assert outcome(source) == shape.gives, f"\n{source}"


@pytest.mark.parametrize("shape", CUT, ids=[shape.name for shape in CUT])
def test_at_the_token_limit_a_whole_function_counts(shape: Shape) -> None:
    source = program_source(problem(shape.prompt), shape.completion, finish="length")
    assert outcome(source) == shape.gives, f"\n{source}"


def test_a_fault_of_the_model_is_no_cut_end() -> None:
    completion = WHOLE + "\n\ndef g(x):\n    return (x"
    assert outcome(program_source(problem(), completion, finish="eos")) is SyntaxError
    assert program_source(problem(), WHOLE + "\nf([1])\n", finish="length") == WHOLE + "\nf([1])\n"


@pytest.mark.parametrize("mark", ["<think>", "<think>\n", "[THINK]", "<|START_THINKING|>"])
def test_thoughts_that_the_prompt_opened_and_that_are_cut_off(mark: str) -> None:
    draft = "Maybe:\n```python\ndef f(x):\n    return 0\n```\n"
    prompt = f"<|user|>Sum x.<|assistant|>{mark}"
    assert program_source(problem(), draft, finish="length", prompt=prompt) == ""
    assert outcome(program_source(problem(), draft + WHOLE, finish="eos", prompt=prompt)) == 0
    assert outcome(program_source(problem(), draft, finish="length", prompt="Write <think> around it.")) == 0


@pytest.mark.parametrize("token", ["<extra_id_0>", "@@END@@", "<turn>", "[gMASK]"])
def test_the_tokenizers_own_special_tokens_end_an_answer(token: str) -> None:
    for code in (WHOLE, "    return sum(x)\n", f"```python\n{WHOLE}```\n"):
        completion = f"{code}{token}\nclass (\n"
        assert outcome(program_source(problem(), completion, special_tokens=["</s>", token])) == 6
    quoted = f"def f(x):\n    y = '{token}'\n    return sum(x)\n"
    assert program_source(problem(), quoted, special_tokens=[token]) == quoted


def test_marks_of_thoughts_that_are_special_tokens_stay_marks_of_thoughts() -> None:
    completion = "[THINK]def f(x):\n    return 0\n[/THINK]" + WHOLE + "</s>"
    assert program_source(problem(), completion, special_tokens=["[THINK]", "[/THINK]", "</s>"]) == WHOLE


@pytest.mark.parametrize("shape", EXPRESSIONS, ids=[shape.name for shape in EXPRESSIONS])
def test_entry_points_that_are_expressions(shape: ExpressionShape) -> None:
    asked = Problem("t/0", shape.prompt, "Solution().f", "")
    source = program_source(asked, shape.completion)
    assert outcome(source, "Solution().f") == shape.gives, f"\n{source}"


@pytest.mark.parametrize("nothing", ["", "\n", "   \n\t\n", "<|im_end|>", "\n</s>", "<think>hm</think>\n"])
def test_nothing_gives_no_program(nothing: str) -> None:
    assert program_source(problem(), nothing) == ""


@pytest.mark.parametrize("shape", [s for s in SHAPES if s.gives == 6 and "\r" not in s.completion])
def test_what_is_a_program_already_stays_what_it_does(shape: Shape) -> None:
    source = program_source(problem(shape.prompt), shape.completion)
    assert outcome(program_source(problem(shape.prompt), source)) == 6


def test_a_body_that_goes_on_after_the_prompt_is_left_as_it_is() -> None:
    for body in ("    return sum(x)", "\n\n    return sum(x)\n\n\n", "    return (x\n", "    x = '''\nThe end.\n'''\n"):
        assert program_source(problem(TYPED), body) == TYPED + body


def test_a_program_that_brings_its_imports_gets_none_twice() -> None:
    whole = "from typing import List\nimport math\n\n" + WHOLE
    assert program_source(problem(TYPED), whole) == whole


@pytest.mark.parametrize(
    "text", ["\x00", "\ud800", "```", "```python", "```python\n```", "~~~\n", "def f", "(" * 300, "\f"]
)
def test_odd_texts_give_some_program(text: str) -> None:
    assert isinstance(program_source(problem(), text), str)


def test_coroutines_are_functions() -> None:
    function = "async def f(x):\n    return sum(x)\n"
    assert program_source(problem(), f"```\nprint(1)\n```\n```\n{function}```\n").strip() == function.strip()
    prompt = "async def f(x):\n    '''Sum.'''\n"
    assert program_source(problem(prompt), "return sum(x)\n") == prompt + "    return sum(x)\n"


def test_a_program_has_one_kind_of_lines_end() -> None:
    for text in (LOOP, WHOLE, f"```\n{WHOLE}```\n", TYPED + LOOP):
        assert "\r" not in program_source(problem(), text.replace("\n", "\r\n"))


def test_marks_in_many_strings_are_no_ends() -> None:
    strings = "".join(f"    y{number} = '</s>'\n" for number in range(200))
    assert outcome(program_source(problem(), "def f(x):\n" + strings + "    return sum(x)\n</s>")) == 6


PIECES = [
    "`", "```\n", "```python\n", "    ", "\n", "def ", "def f(x):\n", "def g(x):\n    return x\n", "<think>",
    "</think>\n", "[INST]", "</s> it's\n", "<|im_end|>", "[DONE]\n", "(", "[", "if x:\n", "x = ", "x = 1\n", "'",
    "'''\n```\n", "# ", "@a\n", "-", "not ", "1+", "a.", "f(", "Answer: yes\n", "Human: thanks\nHuman\n",
    "the sum of x\n", "It's right.\n", "\\\n", "\x00", "\ud800", "    return x```\n",
    "```python\ndef f(x):\n    return 1\n```\n", "    y = '</s>'\n", "It's wrong.\ndef f(x):\n    return 1\n",
    "else:\n", "f'{", "*", "x[0]", "Here is my response:", "-1\n", "x == ",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_time_is_linear_in_the_text(piece: str) -> None:
    """Ten times the text takes about ten times the CPU time: a quadratic step would take a hundred times as much."""

    def seconds(size: int) -> float:
        repeated = piece * (size // len(piece))
        start = time.process_time()
        for text in (repeated, WHOLE + repeated, "```python\n" + WHOLE + repeated, repeated + "\n" + WHOLE):
            assert isinstance(program_source(problem(), text, finish="length"), str)
        return time.process_time() - start

    small = seconds(3_000)
    assert seconds(30_000) < 40 * small + 1


def test_a_thousand_other_speakers() -> None:
    assert outcome(program_source(problem(), "Answer: yes\n" * 1000 + "\n" + WHOLE)) == 6
    assert outcome(program_source(problem(), WHOLE + "\nHuman: thanks" * 1000)) == 6


@pytest.mark.parametrize(
    "deep", ["(" * 50_000, "-" * 50_000 + "1", "1+" * 50_000 + "1", "not " * 50_000 + "1", "a." * 50_000]
)
def test_deep_nesting_is_one_programs_fault(deep: str) -> None:
    for completion in (deep, WHOLE + "\n" + deep, f"def f(x):\n    return {deep}\n", f"```\n{deep}\n```\n"):
        assert isinstance(program_source(problem(), completion), str)
