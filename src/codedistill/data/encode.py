"""From examples to token ids with the response marked."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from codedistill.data.examples import Example
from codedistill.errors import UserError
from codedistill.prompts import Template, render_chat


@dataclass(frozen=True)
class Encoded:
    """One example as token ids: `ids[:prompt_length]` is the prompt, the rest the response with its end token."""

    id: int
    ids: tuple[int, ...]
    prompt_length: int

    @property
    def response_length(self) -> int:
        return len(self.ids) - self.prompt_length


@dataclass(frozen=True)
class EncodingReport:
    """What the length limit did: `cut` examples lost their end, `dropped` ones their whole response. `template`: what
    made the prompts of most of the others. `empty`: how many responses hold nothing to learn from but their end."""

    examples: int
    cut: int
    dropped: int
    template: str
    empty: int = 0


def encode_examples(
    examples: Iterable[Example], template: Template, tokenizer: Any, max_length: int
) -> tuple[list[Encoded], EncodingReport]:
    """Tokenise, mark the response, append the end token, cut to `max_length`.

    Loss falls on the response and its end-of-sequence token only. An example whose response would be cut away whole is
    dropped.

    Raises:
        UserError: the template does not fit the tokenizer, messages have no chat template, or nothing is left.
    """
    examples = list(examples)
    check_templates(examples, template, tokenizer)
    encoded, cut, dropped, empty = [], 0, 0, 0
    for example in examples:
        prompt = encode_prompt(prompt_text(example, template, tokenizer), tokenizer)
        response = tokenizer(example.response, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        ids = (prompt + response)[:max_length]
        if len(ids) <= len(prompt):
            dropped += 1
            continue
        cut += len(prompt) + len(response) > max_length
        empty += not example.response.strip()
        encoded.append(Encoded(example.id, tuple(ids), len(prompt)))
    if not encoded:
        raise UserError(f"data.max_length {max_length}: every one of {len(examples)} prompts is longer; raise it")
    templates = Counter(example.template(template.name) for example in examples)
    return encoded, EncodingReport(len(examples), cut, dropped, templates.most_common(1)[0][0], empty)


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
                f"data: row {example.id + 1} is a chat, but the tokenizer has no chat template to render them with; "
                "give rows of instruction and output, or a tokenizer with one"
            )


def fingerprint(examples: Iterable[Encoded]) -> str:
    """SHA-256 of the token ids that are trained on, in order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(repr((example.prompt_length, example.ids)).encode())
    return digest.hexdigest()


def prompt_text(example: Example, template: Template, tokenizer: Any) -> str:
    """What the models are shown before the response."""
    if example.prompt is not None:
        return example.prompt
    if example.messages is not None:
        return render_chat([dict(turn) for turn in example.messages], tokenizer)
    return template.render(example.instruction or "", example.input, tokenizer)


def encode_prompt(text: str, tokenizer: Any) -> list[int]:
    """Token ids of a prompt, never empty: without text it is the token that separates documents."""
    ids = list(tokenizer(text)["input_ids"])
    if ids and ids[-1] == tokenizer.eos_token_id:  # tokenizers that close every text: the prompt goes on
        ids.pop()
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:  # a chat template wrote the first one
        ids.pop(0)
    if ids:
        return ids
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [start]
