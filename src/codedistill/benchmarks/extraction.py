"""From a model's text to the program that is run.

Two shapes are told apart by the syntax: the text holds the asked function, or it is the function's body. Nothing is repaired: code that
does not parse stays as it is and fails, so that a cut-off program is counted as one. What is taken away is text around the
code: markdown fences, prose before and after, doctest prompts, end-of-turn tokens.
"""

from __future__ import annotations

import ast
import re
import textwrap

from codedistill.benchmarks.problems import Problem

FENCE = re.compile(r"^[ \t]*(```+|~~~+)[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
TURN_TOKENS = re.compile(r"<\|(?:im_end|endoftext|eot_id|end|EOT|file_separator)\|>|</s>|<end_of_turn>")
STARTS = re.compile(r"^(?:@|async def |def |class |import |from \w|[A-Za-z_]\w*(?:\s*:[^=\n]+)?\s*=[^=])", re.MULTILINE)


def program_source(problem: Problem, completion: str) -> str:
    """The module that is run for a completion: "" where nothing was written."""
    text = TURN_TOKENS.split(completion.replace("\r\n", "\n"), maxsplit=1)[0]
    if not text.strip():
        return ""
    code = _fenced(text, problem.entry_point)
    if code is None:
        code = text
    if _defines(code, problem.entry_point):
        return _with_context(problem, _only_code(code, problem.entry_point))
    if code is not text and STARTS.match(code.lstrip("\n")) and _parses(code):
        return _with_context(problem, code)  # a whole program in a fence, under another name: that is its own error
    if _other_function(code):
        return _with_context(problem, _only_code(code, None))
    return problem.prompt + _body(problem, code)


def _fenced(text: str, entry_point: str) -> str | None:
    """The fenced block that defines the function, else the first Python block, else None."""
    blocks = [(match.group(2).lower(), match.group(3)) for match in FENCE.finditer(text)]
    if not blocks:
        # A completion that began inside a fence shows only the closing one.
        before, fence, _ = text.partition("\n```")
        return before + "\n" if fence and before.strip() else None
    for _, block in blocks:
        if _defines(block, entry_point):
            return block
    python = [block for language, block in blocks if language in ("", "python", "py", "python3")]
    return (python or [block for _, block in blocks])[0]


def _defines(code: str, name: str) -> bool:
    return re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None


def _other_function(code: str) -> bool:
    """Whether the text, from its first line of code on, is a module with a function in it (rather than a body)."""
    return (
        re.match(r"\s*(?:@\w|(?:async\s+)?def\s|(?:import|from)\s[^\n]*\n(?:.*\n)*?def\s)", code) is not None
        and not code[:1].isspace()
    )


def _only_code(code: str, entry_point: str | None) -> str:
    """Module code without the prose around it; a method of a class is left where it is."""
    code = (
        textwrap.dedent(code)
        if entry_point and not re.search(rf"^(?:async )?def {re.escape(entry_point)}\b", code, re.MULTILINE)
        else code
    )
    if _parses(code):
        return code
    lines = code.split("\n")
    first = next((i for i, line in enumerate(lines) if STARTS.match(line)), 0)
    lines = lines[first:]
    for end in range(len(lines), 0, -1):  # prose after the code: only top-level lines that are no code are taken away
        part = "\n".join(lines[:end])
        if _parses(part) and (entry_point is None or _defines(part, entry_point)):
            cut = [line for line in lines[end:] if line.strip()]
            if cut and not any(_is_prose(line) for line in cut[:1]):
                break
            return part + "\n"
    return "\n".join(lines)


def _is_prose(line: str) -> bool:
    """A top-level line that cannot be code: it does not parse alone, and it begins like a sentence or a list."""
    if line[:1].isspace() or STARTS.match(line):
        return False
    try:
        ast.parse(line)
    except (SyntaxError, ValueError):
        return re.match(r"(?:[A-Z#*>\-`]|\d+[.)])", line) is not None
    return line.startswith("#")


def _body(problem: Problem, code: str) -> str:
    """A function's body, indented under the prompt's signature."""
    lines = code.split("\n")
    while lines and not lines[0].strip():
        lines.pop(0)
    body = "\n".join(lines)
    first = lines[0] if lines else ""
    if first and not first[:1].isspace():
        rest = [line for line in lines[1:] if line.strip()]
        inside = bool(rest) and all(line[:1].isspace() for line in rest)
        if inside and not first.rstrip().endswith(":"):
            body = "    " + body  # only the first line lost its indentation: the prompt ended with it
        else:
            body = textwrap.indent(body, "    ")
    candidate = problem.prompt + ("" if problem.prompt.endswith("\n") else "\n") + body
    return body if candidate.startswith(problem.prompt + body) else candidate[len(problem.prompt) :]


def _with_context(problem: Problem, code: str) -> str:
    """The prompt's imports and helpers before a program that repeats the signature, unless it brings them itself."""
    tree = _tree(problem.prompt + "\n    pass\n") or _tree(problem.prompt)
    if tree is None:
        return code
    context = []
    for node in tree.body:
        name = getattr(node, "name", None)
        if name == problem.entry_point:
            continue
        if name is not None and _defines(code, name):
            continue
        segment = ast.get_source_segment(problem.prompt, node)
        if segment and segment not in code:
            context.append(segment)
    return "\n".join([*context, code]) if context else code


def _tree(code: str) -> ast.Module | None:
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parses(code: str) -> bool:
    return _tree(code) is not None
