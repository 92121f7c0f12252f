"""Prompt templates: how an instruction and its input become the text that both models see.

Source: table 1 of Shu et al. 2025 (AKD). A new template is one entry in `TEMPLATES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from codedistill.errors import UserError


class Tokenizer(Protocol):
    """The part of a tokenizer that templates use."""

    chat_template: Any

    def get_vocab(self) -> dict[str, int]: ...
    def apply_chat_template(
        self, messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool
    ) -> Any: ...


def _lines(instruction: str, given: str) -> str:
    return f"{instruction}\n{given}" if given else instruction


def _alpaca(instruction: str, given: str) -> str:
    section = f"### Input:\n{given}\n\n" if given else ""
    return (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
        f"### Instruction:\n{instruction}\n\n{section}### Response:\n"
    )


INSTRUCT_EVAL = (
    "Please complete the following Python code without providing any additional tasks such as testing or explanations."
)


@dataclass(frozen=True)
class Template:
    """A named prompt format. requires: special tokens that the tokenizer must have."""

    name: str
    text: Callable[[str, str], str] | None  # None: the tokenizer's own chat template
    requires: tuple[str, ...] = ()
    for_instructions: bool = True  # False: the prompts of the data may have any form

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise if the tokenizer lacks what this template needs.

        Raises:
            UserError: special tokens or the chat template are missing.
        """
        missing = [token for token in self.requires if token not in tokenizer.get_vocab()]
        if self.text is None and not tokenizer.chat_template:
            missing = ["chat template"]
        if missing:
            message = f"template {self.name}: the tokenizer has no {', '.join(missing)}; use template=alpaca"
            raise UserError(message, key="template")

    def render(self, instruction: str, given: str, tokenizer: Tokenizer) -> str:
        """The prompt for an instruction and its input. given: the input; if empty, its part is left out."""
        if self.text is not None:
            return self.text(instruction, given)
        messages = [{"role": "user", "content": _lines(instruction, given)}]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def as_chat_template(self, before: str = "") -> str | None:
        """This template for one user message, as a chat template in Jinja; None if it has no such form.

        before: the text that the tokenizer puts before every text; a chat template must write it itself.
        """
        if self.text is None or not self.for_instructions:
            return None
        mark = "\0"
        head, tail = (json.dumps(part) for part in self.text(mark, "").split(mark))
        return (
            f"{{{{ {json.dumps(before)} }}}}{{% for message in messages %}}"
            f"{{% if message['role'] == 'user' %}}{{{{ {head} + message['content'] + {tail} }}}}"
            "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
            "{% else %}{{ message['content'] + '\\n\\n' }}{% endif %}{% endfor %}"
        )


TEMPLATES = {
    template.name: template
    for template in (
        Template("alpaca", _alpaca),
        Template(
            "starcoder",
            lambda instruction, given: f"<fim_prefix>{_lines(instruction, given)}<fim_suffix><fim_middle>",
            requires=("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
        ),
        Template("instruct_eval", lambda instruction, given: f"{INSTRUCT_EVAL}\n{_lines(instruction, given)}"),
        Template("chat", None),
        Template("plain", lambda instruction, given: f"{_lines(instruction, given)}\n", for_instructions=False),
    )
}
"""Every template by its name in a recipe."""
