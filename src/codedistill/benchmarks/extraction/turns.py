"""Which part of a model's text is its answer: not its thoughts, not the tags around it, not the next turn."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import tokenize
from collections.abc import Callable

from codedistill.benchmarks.extraction.syntax import defines, is_prose, parse

ENDS = re.compile(
    r"<\|(?:im_end|im_start|endoftext|eot_id|end|end_of_text|EOT|file_separator|fim_pad|user|assistant)\|>"
    r"|</s>|<end_of_turn>|<file_sep>|<fim_prefix>|<\uff5cend\u2581of\u2581sentence\uff5c>|\[/?INST\]"
)
"""Where a model's turn is over, for tokenizers that do not call these tokens special."""

ENDS_TRIED = 20
"""How many marks are tried as the end of the code."""

END_OF_THOUGHTS = "</think>"

TAGS = {"[BEGIN]": "[DONE]", "[PYTHON]": "[/PYTHON]", "<answer>": "</answer>"}
"""What is put around an answer: by MBPP's prompt with examples, by CodeLlama, by reasoning models."""

RETURNS = re.compile(r"^[ \t]*return\b", re.MULTILINE)
DOES_SOMETHING = (ast.Call, ast.Assign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Pass, ast.Raise)
"""What a sentence whose words happen to be Python has none of."""


def answer_in(text: str, entry_point: str) -> str:
    """The part of a completion that is an answer: code, perhaps in fences and prose.

    Code may speak of any of the marks that are looked for here: none counts in its strings and comments.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    thoughts = _outside_of_code(text, re.compile(END_OF_THOUGHTS), last=True)
    if thoughts is not None:
        text = text[thoughts + len(END_OF_THOUGHTS) :]
    return _in_tags(text[: _outside_of_code(text, ENDS)], entry_point)


def _outside_of_code(text: str, mark: re.Pattern[str], last: bool = False) -> int | None:
    """The place of the first, or the last, mark that is in none of the code's strings and comments."""
    found = list(mark.finditer(text))
    is_quoted = _quotes(text, found)
    return next((match.start() for match in (reversed(found) if last else found) if not is_quoted(match)), None)


def _quotes(text: str, found: list[re.Match[str]]) -> Callable[[re.Match[str]], bool]:
    """Whether a mark is in a string or a comment of the code.

    The code is the text, or the longest part of it before a mark that is any; if there is none, a line has to tell. Of
    many marks only the first are tried as the code's end: a model that repeats one for ever would take minutes.
    """
    ends = [len(text), *(match.start() for match in reversed(found[:ENDS_TRIED]))] if found else []
    end = next((end for end in ends if text[:end].strip() and _head_of(text[:end]) is not None), None)
    if end is None:
        return _seems_quoted
    head = _head_of(text[:end]) or ""
    quoted = _strings_and_comments(head + text[:end])

    def is_quoted(match: re.Match[str]) -> bool:
        if match.start() > end and _seems_quoted(match):
            return True
        return any(match.start() + len(head) in span for span in quoted)

    return is_quoted


def _head_of(text: str) -> str | None:
    """What has to stand before a text to make it a module: nothing, or something for a body to be in. None: no code."""
    return next((head for head in ("", "if True:\n") if parse(head + text) is not None), None)


def _seems_quoted(match: re.Match[str]) -> bool:
    """Whether the line, as far as one can see without its surroundings, has the mark in a string or a comment."""
    text = match.string
    before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
    behind = text[match.end() :].partition("\n")[0]
    if is_prose(before):
        return False
    return "#" in before or any(before.count(quote) % 2 and quote in behind for quote in "'\"")


def _strings_and_comments(code: str) -> list[range]:
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    starts = [0]
    for line in code.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # what parses and is no tokens has odd characters in it
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type in kinds:
                start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
                found.append(range(start, end))
    return found


def _in_tags(text: str, entry_point: str) -> str:
    """What is between tags, if they are there and it is an answer: of several the first that defines the function."""
    for begin, end in TAGS.items():
        if _outside_of_code(text, re.compile(f"{re.escape(begin)}|{re.escape(end)}")) is None:
            continue
        first, *parts = text.split(begin)
        before = first.partition(end)[0]
        if end in first and _is_answer(before, entry_point):  # the prompt had the first tag
            return before
        parts = [part.partition(end)[0] for part in parts]
        if any(_is_answer(part, entry_point) for part in parts):
            return next((part for part in parts if defines(part, entry_point)), parts[0])
    return text


def _is_answer(text: str, entry_point: str) -> bool:
    """Whether there is code to run in a text, rather than the beginning of a sentence that speaks of a tag."""
    if defines(text, entry_point) or RETURNS.search(text):
        return True
    tree = parse((_head_of(text) or "") + text)
    return tree is not None and any(isinstance(node, DOES_SOMETHING) for node in ast.walk(tree))
