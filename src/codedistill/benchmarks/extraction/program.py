"""From a model's text to the program that is run.

The text holds a module with the task's function, or the function's body; the syntax tells which. The text around the
code is removed: chat markup, Markdown fences, prose before and after. The prompt is added: all of it before a body, its
imports and helpers before a module. Nothing is repaired. Code that does not parse stays as it is and fails, except for
an incomplete statement after a whole function when generation stopped at the token limit.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator

from codedistill.benchmarks.extraction.answer import THOUGHTS, answer_in
from codedistill.benchmarks.extraction.fences import QUOTES, Block, fenced_code, with_definition
from codedistill.benchmarks.extraction.syntax import (
    CODE_STARTS,
    DEFINITIONS,
    begins_definition,
    defined_names,
    defines,
    fault_line,
    indentation,
    is_prose,
    is_whole,
    parse,
    parse_prompt,
    parsing_lines,
    prepend,
    text_of,
)
from codedistill.benchmarks.problems import Problem

MODULE_LINE = re.compile(r"\s*(?:@|async\s+def\s|def\s|class\s|import\s|from\s)")
CONTINUES = re.compile(r"[\s)\]}#@]|(?:else|elif|except|finally)\b|$")
"""A line at the margin that does not begin a statement of its own."""

VERSIONS_TRIED = 20
"""How many pieces of code between prose are looked at."""


def program_source(
    problem: Problem,
    completion: str,
    *,
    finish: str | None = None,
    prompt: str = "",
    special_tokens: Iterable[str] = (),
) -> str:
    """The module that is run for a completion; "" if there is no answer in it.

    Args:
        problem: the task.
        completion: the model's text.
        finish: the reason for the end of generation; "length" is the token limit.
        prompt: the model's prompt, in its template.
        special_tokens: of the model's tokenizer, if the completion was decoded with them.
    """
    name, truncated = problem.name, finish == "length"
    in_thoughts = truncated and prompt.rstrip().endswith(tuple(THOUGHTS))  # some chat templates open them
    try:
        text = answer_in(completion, name, in_thoughts, special_tokens)
        if not text.strip():
            return ""
        is_whole_text = defines(text, name) and parse(text) is not None  # a docstring may have fences in it
        code = text if is_whole_text else fenced_code(text, name) or text
        if _is_module(code, name):
            program = _with_context(problem, without_prose(_at_the_margin(code, name), name))
        else:
            program = _place_body(problem, code, goes_on=code is text)
        program = _without_speakers(program)
        return _without_cut_end(program, name) if truncated else program
    except (RecursionError, MemoryError):  # nested too deeply to be read, so it does not compile either
        return completion


def _is_module(code: str, name: str) -> bool:
    """Whether the text has top-level definitions, rather than being the body of the function.

    A body may define functions and import modules, and continue at the margin after its end.
    """
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    definitions = [indentation(line) for line in lines if begins_definition(line, name)]
    if first[:1].isspace():
        return indentation(first) in definitions or (bool(definitions) and MODULE_LINE.match(first) is not None)
    if definitions:
        return True
    top_level = defines(code, name) or re.search(r"^(?:async def|def|class)\s", code, re.MULTILINE)
    if not top_level:
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(without_prose(code), "completion", "exec", dont_inherit=True)
    except SyntaxError as error:
        return "outside function" not in str(error)
    except (ValueError, RecursionError, MemoryError):
        pass
    return True


def _at_the_margin(code: str, name: str) -> str:
    """Code that is indented as a whole, as in a list item, moved to the left. A method stays in its class."""
    lines = code.split("\n")
    first = next(i for i, line in enumerate(lines) if line.strip())
    if indentation(lines[first]) == " ":  # from a token that begins with a space
        lines[first] = lines[first][1:]
        code = "\n".join(lines)
    defining = [i for i, line in enumerate(lines) if defines(line, name)]
    if not defining or any(not indentation(lines[i]) for i in defining):
        return code
    start, end = defining[0], defining[0] + 1
    depth = len(indentation(lines[start]))
    belongs = [not line.strip() or len(indentation(line)) >= depth for line in lines]
    while start and belongs[start - 1]:
        start -= 1
    if any(line.lstrip().startswith("class ") for line in lines[:start] if len(indentation(line)) < depth):
        return code
    while end < len(lines) and belongs[end]:
        end += 1
    return textwrap.dedent("\n".join(lines[start:end])).strip("\n") + "\n"


def without_prose(code: str, name: str = "") -> str:
    """Module code without the prose around it. Of several versions of `name` between prose, the last whole one counts.

    Text that does not parse is removed only if it is prose: code that was cut off stays.
    """
    lines = code.split("\n")
    if lines[0].strip().lower() in ("python", "python3", "py"):
        lines = lines[1:]  # the rest of an opening fence
    if parse("\n".join(lines)) is not None:
        return "\n".join(lines)
    lines = lines[next((i for i, line in enumerate(lines) if CODE_STARTS.match(line)), 0) :]
    versions: list[Block] = []
    before, rest = "", lines
    for _ in range(VERSIONS_TRIED):
        end = parsing_lines(rest)
        after = next((i for i in range(end, len(rest)) if rest[i].strip()), len(rest))
        if not end or after == len(rest) or not is_prose(rest[after]):
            if versions and end and after == len(rest):
                versions.append(Block("", "\n".join(rest), before))
            break
        versions.append(Block("", "\n".join(rest[:end]) + "\n", before))
        begin = next((i for i in range(after + 1, len(rest)) if CODE_STARTS.match(rest[i])), None)
        if begin is None or not any(begins_definition(line, name) for line in rest[begin:] if name):
            break
        before, rest = "\n".join(rest[end:begin]), rest[begin:]
    if not versions:
        return "\n".join(lines)
    if len(versions) == 1:
        return versions[0].code
    return with_definition(versions, name) or versions[0].code


def _place_body(problem: Problem, code: str, goes_on: bool) -> str:
    """The prompt with `code` as its function's body; `goes_on`: the model wrote it right after the prompt.

    Then the indentation is the model's own, and wrong where it is wrong. Otherwise, and where the text starts at the
    margin (or one blank from it, as tokens do), the body is moved as a whole, or its first line alone. The first layout
    that parses with the code inside the function counts; without one the text stays as it is.
    """
    lines = code.split("\n")
    first = next((line for line in lines if line.strip()), "")
    fixed = goes_on and (len(indentation(first)) > 1 or first.startswith("\t"))
    start = next((i for i, line in enumerate(lines) if line.strip() and not is_prose(line)), 0)
    end = next((i for i in range(start, len(lines)) if is_prose(lines[i])), len(lines))
    for text in (code, "\n".join(lines[start:end]) + "\n"):
        for head, body in _layouts(problem.prompt, text, fixed):
            if _is_inside(problem.name, head, body):
                return head + body
    return "".join(next(_layouts(problem.prompt, code, fixed)))


def _layouts(prompt: str, code: str, fixed: bool) -> Iterator[tuple[str, str]]:
    """Ways to put the code after the prompt: as it is; if not `fixed`, moved as a whole or by its first line alone."""
    head = prompt if prompt.endswith("\n") or code.startswith("\n") else prompt + "\n"
    if prompt[-1:] in (" ", "\t", ":"):  # the prompt ends in the body's indentation, or in its signature
        yield prompt, code
    yield head, code
    if fixed:
        return
    last = next((line for line in reversed(prompt.split("\n")) if line.strip()), "")  # of the docstring, as a rule
    unit = indentation(last) or "    "
    text = code.strip("\n")
    first, _, rest = text.partition("\n")
    yield head, textwrap.indent(textwrap.dedent(text), unit) + "\n"
    yield head, f"{unit}{first.lstrip()}\n{rest}\n"


def _is_inside(name: str, head: str, body: str) -> bool:
    """Whether the program parses and the first line of code of the body belongs to the function or class."""
    tree = parse(head + body)
    if tree is None:
        return False
    line = head.count("\n") + 1
    for text in body.split("\n"):
        if text.strip() and not text.lstrip().startswith("#"):
            break
        line += 1
    definitions = [node for node in tree.body if isinstance(node, DEFINITIONS)]
    return any(node.name == name and node.lineno <= line <= (node.end_lineno or 0) for node in definitions)


def _without_speakers(program: str) -> str:
    """The program without other turns that look like annotations, as in `Human: thanks`.

    Such a line is a bare annotation at the margin of a capitalized name that nothing else uses or assigns. Those at the
    start are skipped; the first one after code ends the program.
    """
    tree = parse(program)
    found = {
        node: node.target.id
        for node in (tree.body if tree else [])
        if isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name)
        if node.target.id[:1].isupper()
    }
    if tree is None or not found:
        return program
    others = (inner for node in tree.body if node not in found for inner in ast.walk(node))
    used = {name for node in others for name in (getattr(node, "id", None), getattr(node, "name", None)) if name}
    lines, start = program.split("\n"), 0
    for node in (node for node, name in found.items() if name not in used):
        if any(line.strip() for line in lines[start : node.lineno - 1]):
            return "\n".join(lines[start : node.lineno - 1]) + "\n"
        start = node.end_lineno or node.lineno
    return "\n".join(lines[start:])


def _without_cut_end(program: str, name: str) -> str:
    """A program that stopped at the token limit, without its last statement if that is cut off after a whole `name`."""
    lines = program.split("\n")
    tree = parse(program)
    if tree is not None:
        last = tree.body[-1] if tree.body else None
        kept = DEFINITIONS | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign
        if last is None or isinstance(last, kept) or program.endswith("\n"):
            return program
        starts = [last.lineno - 1]
    else:
        begins = [i for i, line in enumerate(lines) if not CONTINUES.match(line)]
        fault = fault_line(program) or len(lines)
        starts = [*begins[-1:], *[i for i in begins if i < fault][-1:]]
    for start in starts:
        if start != starts[0] and not any("\n".join(lines[start:]).count(quotes) % 2 for quotes in QUOTES):
            continue  # the fault is not a string that was cut off, so it is the model's
        while start and lines[start - 1].startswith("@"):
            start -= 1
        before = "\n".join(lines[:start]) + "\n"
        if is_whole(parse(before), name):
            return before
    return program


def _with_context(problem: Problem, code: str) -> str:
    """A program that repeats the signature, after the prompt's imports and helpers that it does not bring itself."""
    tree = parse_prompt(problem.prompt)
    context = []
    lines, present = problem.prompt.split("\n"), {*defined_names(code), problem.name}
    for node in tree.body if tree is not None else []:
        if getattr(node, "name", None) in present or isinstance(node, ast.Expr):  # an expression is the prompt's text
            continue
        segment = text_of(node, lines)
        if segment.strip() and segment not in code:
            context.append(segment)
    return prepend("\n".join(context) + "\n", code) if context else code
