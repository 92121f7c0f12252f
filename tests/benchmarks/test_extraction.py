"""From completion to program, by running the program."""

from __future__ import annotations

import types
from typing import Any

import pytest

from codedistill.benchmarks import Problem, program_source
from tests.benchmarks.completion_shapes import LOOP, PLAIN, SHAPES, TYPED, WHOLE, Shape


def problem(prompt: str = PLAIN) -> Problem:
    return Problem("t/0", prompt, "f", "")


def outcome(source: str) -> Any:
    """What f([3, 1, 2]) gives when the program is run, or the type of the exception."""
    module = types.ModuleType("program")
    try:
        exec(compile(source, "program", "exec", dont_inherit=True), module.__dict__)
        if "f" not in vars(module):
            raise NameError("f")
        return module.f([3, 1, 2])  # type: ignore[attr-defined]
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_the_program_does_what_the_model_wrote(shape: Shape) -> None:
    source = program_source(problem(shape.prompt), shape.completion)
    assert outcome(source) == shape.gives, f"\n{source}"


def test_the_shapes_have_different_names() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES) > 100


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
