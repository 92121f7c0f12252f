"""From examples to token ids with the response marked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from codedistill.data.examples import Example
from codedistill.errors import UserError, first_line
from codedistill.prompts import Template


@dataclass(frozen=True)
class Encoded:
    """One example as token ids: `ids[:prompt_length]` is the prompt, the rest the response with its end tokens.

    earlier: further spans [start, end) of `ids` that carry loss, earlier assistant turns inside the prompt.
    """

    id: int
    ids: tuple[int, ...]
    prompt_length: int
    earlier: tuple[tuple[int, int], ...] = ()

    @property
    def response_length(self) -> int:
        return len(self.ids) - self.prompt_length

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """All spans that carry loss, in order."""
        return (*self.earlier, (self.prompt_length, len(self.ids)))


@dataclass(frozen=True)
class EncodingReport:
    """Counts of examples. `cut`: the end was truncated. `dropped`: the whole response was. `empty`: the response is
    only its end token. `unfinished`: the response has no end token.

    `template` made most of the prompts. `ends` are the end tokens that were appended.
    """

    examples: int
    cut: int
    dropped: int
    template: str
    empty: int = 0
    ends: tuple[int, ...] = ()
    unfinished: int = 0


def encode_examples(
    examples: Iterable[Example],
    template: Template,
    tokenizer: Any,
    max_length: int,
    turns: str = "all",
    unfinished: frozenset[int] = frozenset(),
) -> tuple[list[Encoded], EncodingReport]:
    """Tokenize, mark the responses, append end tokens, truncate to `max_length`.

    Loss falls on responses and their end tokens only; in a chat on every assistant turn (`turns` all) or the last one.
    An example whose responses would all be truncated away is dropped. `unfinished`: ids of examples without an end.

    Raises:
        UserError: the template does not fit the tokenizer or refuses a row, or nothing is left.
    """
    examples = list(examples)
    check_templates(examples, template, tokenizer)
    codec = _Codec(tokenizer)
    encoded, cut, dropped, empty, chats = [], 0, 0, 0, 0
    for example in examples:
        whole = codec.example(example, template, turns == "all", example.id not in unfinished)
        spans = [(start, min(end, max_length)) for start, end in whole.spans if start < min(end, max_length)]
        if not spans:
            dropped += 1
            continue
        cut += len(whole.ids) > max_length
        empty += not example.response.strip() and example.answer is None
        chats += example.messages is not None
        *earlier, (start, end) = spans
        encoded.append(Encoded(example.id, whole.ids[:end], start, tuple(earlier)))
    if not encoded:
        raise UserError(f"data.max_length {max_length}: every one of {len(examples)} prompts is longer; raise it")
    templates = Counter(example.template(template.name) for example in examples)
    ends = (*([codec.turn_end] if chats else []), tokenizer.eos_token_id)
    return encoded, EncodingReport(
        len(examples),
        cut,
        dropped,
        templates.most_common(1)[0][0],
        empty,
        tuple(dict.fromkeys(ends)),
        sum(example.id in unfinished for example in examples),
    )


def check_templates(examples: Iterable[Example], template: Template, tokenizer: Any) -> None:
    """Raises UserError where a template that some of the examples use does not fit the tokenizer."""
    firsts: dict[str, Example] = {}
    for example in examples:
        firsts.setdefault(example.template(template.name), example)
    for name, example in firsts.items():
        if name == template.name:
            template.check(tokenizer)
        elif name == "chat" and not tokenizer.chat_template:
            raise UserError(
                f"{example.origin}: is a chat, but the tokenizer has no chat template to render it with; "
                "give rows of instruction and output, or a tokenizer with one"
            )


class _Codec:
    """A tokenizer with the facts about it that encoding needs."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._newline = self._ids("\n")
        both = tokenizer.decode([*self._newline, *self._ids("a")], clean_up_tokenization_spaces=False)
        self._puts_a_blank_first = both != "\na"

    @cached_property
    def turn_end(self) -> int:
        """The token that the chat template writes after an assistant turn."""
        mark = "codedistill"
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": mark}]
        try:
            text = str(self.tokenizer.apply_chat_template(turns, tokenize=False))
        except Exception:  # a template that refuses even this says so for the first row
            return int(self.tokenizer.eos_token_id)
        special = {*self.tokenizer.all_special_ids, *getattr(self.tokenizer, "added_tokens_decoder", {})}
        after = self._ids(text[text.rfind(mark) + len(mark) :])
        return next((token for token in after if token in special), int(self.tokenizer.eos_token_id))

    def example(self, example: Example, template: Template, all_turns: bool, ended: bool) -> Encoded:
        """The example at its full length."""
        end = [self.tokenizer.eos_token_id] if ended else []
        if example.messages is None:
            prompt = encode_prompt(prompt_text(example, template, self.tokenizer), self.tokenizer)
            return Encoded(example.id, (*prompt, *self.continuation(example.response), *end), len(prompt))
        last = example.answer if example.answer and example.answer["content"] == example.response else None
        turns = [*example.messages, last or {"role": "assistant", "content": example.response}]
        before = render_turns(turns[:-1], example, self.tokenizer)
        whole = render_turns(turns, example, self.tokenizer, complete=True)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        done = 0
        for start, stop in self._earlier(turns, example, before) if all_turns else ():
            ids += self.continuation(before[done:start]) if ids else encode_prompt(before[done:start], self.tokenizer)
            spans.append((len(ids), len(ids) + len(self._until_turn_end(before[start:stop]))))
            ids += self.continuation(before[start:stop])
            done = stop
        ids += self.continuation(before[done:]) if ids else encode_prompt(before[done:], self.tokenizer)
        tail = whole[len(before) :] if whole.startswith(before) else example.response
        response = self._until_turn_end(tail)
        if not response or response[-1] != self.turn_end:  # the template writes no end, or not after its own prompt
            response = [*self.continuation(example.response), self.turn_end]
        response = response[:-1] + ([self.turn_end, *(end if end != [self.turn_end] else [])] if ended else [])
        return Encoded(example.id, (*ids, *response), len(ids), tuple(spans))

    def continuation(self, text: str) -> list[int]:
        """Token ids of a text that others precede: without the blank that some tokenizers put before every text."""
        if self._puts_a_blank_first:
            ids, size = self._ids(f"\n{text}"), len(self._newline)
            if ids[:size] == self._newline:
                return ids[size:]
        return self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _until_turn_end(self, text: str) -> list[int]:
        ids = self.continuation(text)
        return ids[: ids.index(self.turn_end) + 1] if self.turn_end in ids else ids

    def _earlier(self, turns: list[Mapping[str, Any]], example: Example, prompt: str) -> list[tuple[int, int]]:
        """Where the earlier assistant turns stand in the prompt; without those that the template shows otherwise than
        when they were the last ones (it may leave out their thoughts)."""
        found = []
        for number, turn in enumerate(turns[:-1]):
            if turn["role"] == "assistant" and number:
                asked = render_turns(turns[:number], example, self.tokenizer)
                answered = render_turns(turns[: number + 1], example, self.tokenizer, complete=True)
                if answered.startswith(asked) and prompt.startswith(answered):
                    found.append((len(asked), len(answered)))
        return found


def render_turns(turns: Sequence[Mapping[str, Any]], example: Example, tokenizer: Any, complete: bool = False) -> str:
    """Turns by the tokenizer's chat template: as the prompt for the assistant's next turn, or `complete`.

    Raises:
        UserError: the template refuses them, or shows nothing of the row's tools or tool calls.
    """

    def render(turns: Sequence[Mapping[str, Any]], tools: list[Any] | None) -> str:
        try:
            given = [dict(turn) for turn in turns]
            extra = {"tools": tools} if tools else {}
            return str(
                tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=not complete, **extra)
            )
        except Exception as error:  # the template is a program of the model's author
            roles = ", ".join(dict.fromkeys(str(turn["role"]) for turn in turns))
            raise UserError(
                f"{example.origin}: the chat template refuses this row (roles {roles}): {first_line(error)}"
            ) from None

    text = render(turns, example.tools)
    if example.tools and render(turns, None) == text:
        raise UserError(f"{example.origin}: the chat template has no place for the row's tools; remove the field")
    plain = [{key: value for key, value in turn.items() if key != "tool_calls"} for turn in turns]
    if any("tool_calls" in turn for turn in turns) and render(plain, example.tools) == text:
        raise UserError(f"{example.origin}: the chat template has no place for tool_calls; remove these turns")
    return text


def fingerprint(examples: Iterable[Encoded]) -> str:
    """SHA-256 of the token ids that are trained on, in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr((example.prompt_length, example.ids, *example.earlier)).encode())
    return digest.hexdigest()


def prompt_text(example: Example, template: Template, tokenizer: Any) -> str:
    """The prompt, as text."""
    if example.prompt is not None:
        return example.prompt
    if example.messages is not None:
        return render_turns(example.messages, example, tokenizer)
    return template.render(example.instruction or "", example.input, tokenizer)


def encode_prompt(text: str, tokenizer: Any) -> list[int]:
    """Token ids of a prompt, never empty: without text it is the token that separates documents."""
    ids = list(tokenizer(text)["input_ids"])
    if ids and ids[-1] == tokenizer.eos_token_id:  # added by the tokenizer; a response follows
        ids.pop()
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:  # a chat template wrote the first one
        ids.pop(0)
    if ids:
        return ids
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [start]
