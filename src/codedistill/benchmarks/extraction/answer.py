"""The answer in a model's text, without thoughts, tags around it, end tokens and further turns.

The marks come from the chat formats of the model families. A tokenizer's own special tokens are taken in addition.
"""

from __future__ import annotations

import ast
import bisect
import contextlib
import io
import re
import tokenize
from collections.abc import Iterable

from codedistill.benchmarks.extraction.syntax import defines, fault_line, is_prose, parse

THOUGHTS = {
    "<think>": "</think>",  # DeepSeek, Qwen, GLM, MiniMax, Hunyuan, Ernie, Olmo, Granite 3.3
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # EXAONE Deep
    "<thoughts>": "</thoughts>",
    "<reasoning>": "</reasoning>",
    "<reason>": "</reason>",
    "<reflection>": "</reflection>",
    "<scratchpad>": "</scratchpad>",
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "[THINK]": "[/THINK]",  # Magistral
    "\u25c1think\u25b7": "\u25c1/think\u25b7",  # Kimi
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThoughts, Sky-T1
    "<|START_THINKING|>": "<|END_THINKING|>",  # Cohere
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|thinking|>": "<|/thinking|>",
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<|channel|>analysis": "<|channel|>final",  # gpt-oss
    "<|channel|>commentary": "<|channel|>final",
    "Here is my thought process:": "Here is my response:",  # Granite 3.2
}
"""The marks around a model's thoughts."""

TAGS = {"[BEGIN]": "[DONE]", "[PYTHON]": "[/PYTHON]", "<answer>": "</answer>", "<response>": "</response>"}
"""The marks around an answer: MBPP's few-shot prompt, CodeLlama, reasoning models."""

ANSWER_STARTS = re.compile(
    r"\s*(?:(?:<\|(?:im_start|start|turn)\|>|<start_of_turn>|<\|turn>)(?:assistant|model)\b|<\|start_header_id\|>assistant"
    r"|<\|(?:START_OF_TURN_TOKEN|CHATBOT_TOKEN|START_RESPONSE|START_TEXT|begin_of_solution|begin_of_text|end_header_id"
    r"|message|assistant|im_middle|python_tag)\|>|<\uff5cAssistant\uff5c>|\[\|assistant\|\]|<s>|<bos>|\[/INST\])"
)
"""The beginning of an answer in chat formats."""

END_MARKS = re.compile(
    r"<\|/?[\w.: -]{1,40}\|>"  # no Python outside of strings has `<|` or `|>`
    r"|<\uff5c[^\uff5c<>\n]{1,40}\uff5c>"  # DeepSeek
    r"|<\|(?:turn|channel|tool_call)>|<(?:turn|channel|tool_call)\|>"  # Gemma 4
    r"|\[\|\w{1,20}\|\]"  # EXAONE
    r"|</s>|\[/?INST\]|<(?:end|start)_of_turn>"
    r"|<(?:file_sep|fim_(?:prefix|middle|suffix|pad)|repo_?name|filename|gh_stars|jupyter_\w{1,20}|empty_output"
    r"|issue_\w{1,20}|commit_\w{1,20})>"  # StarCoder
    r"|<(?:eos|pad|unk|bos|s|EOT|eod|eot|mask)>(?=[ \t]*(?:$|<))",  # `a <pad> b` is a comparison
    re.MULTILINE,
)
"""Where a model's turn is over, for tokenizers that do not call these tokens special."""

ENDS_TRIED = 20
"""How many marks are tried as the end of the code."""

LINE_SEEN = 300
"""How many characters of a mark's line are looked at on each side."""

_THOUGHT_STARTS = re.compile("|".join(map(re.escape, THOUGHTS)))
_THOUGHT_ENDS = re.compile("|".join(map(re.escape, dict.fromkeys(THOUGHTS.values()))))
_RETURNS = re.compile(r"^[ \t]*return\b", re.MULTILINE)
_DOES_SOMETHING = (ast.Call, ast.Assign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Pass, ast.Raise)
"""A sentence whose words happen to parse as Python has none of these."""


def answer_in(text: str, name: str, in_thoughts: bool = False, special_tokens: Iterable[str] = ()) -> str:
    """The part of a completion that is an answer: code, perhaps in fences and prose.

    Marks in strings and comments of the code do not count.

    Args:
        text: the completion.
        name: the function or class to define.
        in_thoughts: the text begins within thoughts, and stopped at the token limit.
        special_tokens: of the model's tokenizer, if the text was decoded with them. Each one ends the answer.
    """
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    known = {*THOUGHTS, *THOUGHTS.values(), *TAGS, *TAGS.values()}
    own = [re.escape(token) for token in special_tokens if token.strip() and token not in known]
    ends = re.compile(f"{'|'.join(own)}|{END_MARKS.pattern}", re.MULTILINE) if own else END_MARKS
    text = _without_thoughts(text, ends, in_thoughts)
    while start := ANSWER_STARTS.match(text):
        text = text[start.end() :]
    end = _outside_of_code(text, ends)
    return _in_tags(text[: end.start()] if end else text, name)


def _without_thoughts(text: str, ends: re.Pattern[str], in_thoughts: bool) -> str:
    """The text after the thoughts, or before those that follow the answer; "" if they are never closed."""
    if text.startswith("analysis") and "assistantfinal" in text:  # gpt-oss, decoded without its special tokens
        return text.rpartition("assistantfinal")[2]
    closed = _outside_of_code(text, _THOUGHT_ENDS, last=True)
    if closed is not None:
        rest = text[closed.end() :]
        if ends.sub("", rest).strip():
            return rest
        text = text[: closed.start()]
    elif in_thoughts:
        return ""
    start = _outside_of_code(text, _THOUGHT_STARTS)
    if start is None:
        return "" if closed is not None else text
    before = text[: start.start()]
    if not ends.sub("", before).strip():
        return ""
    at_line_start = before.endswith("\n") or closed is not None
    return before if at_line_start else text


def _outside_of_code(text: str, mark: re.Pattern[str], last: bool = False) -> re.Match[str] | None:
    """The first, or the last, mark that is in no string and no comment of the code.

    The code is the text, or the longest part of it before a mark that parses. Without one, the mark's line has to tell.
    Of many marks only the first are tried as the code's end, and none that follows the first syntax error.
    """
    found = list(mark.finditer(text))
    if not found:
        return None
    first = next((line for line in text.split("\n") if line.strip()), "")
    head = "if True:\n" if first[:1].isspace() else ""
    code_end, limit = 0, len(text)
    for end in (len(text), *(match.start() for match in reversed(found[:ENDS_TRIED]))):
        if end > limit or not text[:end].strip():
            continue
        fault = fault_line(head + text[:end])
        if fault is None:
            code_end = end
            break
        lines = max(fault - head.count("\n"), 1)
        limit = min(limit, sum(len(line) + 1 for line in text.split("\n", lines)[:lines]) - 1)
    spans = _strings_and_comments(head + text[:code_end]) if code_end else []
    starts = [start for start, _ in spans]

    def is_quoted(match: re.Match[str]) -> bool:
        if match.start() > code_end or not code_end:
            return _seems_quoted(match)
        place = match.start() + len(head)
        at = bisect.bisect_right(starts, place) - 1
        return at >= 0 and place < spans[at][1]

    return next((match for match in (reversed(found) if last else found) if not is_quoted(match)), None)


def _seems_quoted(match: re.Match[str]) -> bool:
    """Whether the line, as far as one can see without its surroundings, has the mark in a string or a comment."""
    text, start, end = match.string, match.start(), match.end()
    before = text[max(text.rfind("\n", 0, start) + 1, start - LINE_SEEN) : start]
    after = text[end : end + LINE_SEEN].partition("\n")[0]
    if is_prose(before):
        return False
    return "#" in before or any(before.count(quote) % 2 and quote in after for quote in "'\"")


def _strings_and_comments(code: str) -> list[tuple[int, int]]:
    """Start and end of each, in order."""
    kinds = {tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    starts = [0]
    for line in code.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    with contextlib.suppress(tokenize.TokenError, SyntaxError):  # odd characters: it parses but has no tokens
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            if token.type in kinds:
                start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
                found.append((start, end))
    return found


def _in_tags(text: str, name: str) -> str:
    """The text between tags if it is an answer; of several, the first that defines the function."""
    for begin, end in TAGS.items():
        if _outside_of_code(text, re.compile(f"{re.escape(begin)}|{re.escape(end)}")) is None:
            continue
        first, *parts = text.split(begin)
        before = first.partition(end)[0]
        if end in first and _is_answer(before, name):  # the prompt had the first tag
            return before
        parts = [part.partition(end)[0] for part in parts]
        if any(_is_answer(part, name) for part in parts):
            return next((part for part in parts if defines(part, name)), parts[0])
    return text


def _is_answer(text: str, name: str) -> bool:
    """Whether a text has code to run, rather than being the beginning of a sentence about a tag."""
    if defines(text, name) or _RETURNS.search(text):
        return True
    tree = parse(text) or parse("if True:\n" + text)
    return tree is not None and any(isinstance(node, _DOES_SOMETHING) for node in ast.walk(tree))
