"""A model's configuration, wherever its family keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def base_model(model: Any) -> Any:
    """The transformers model inside a peft wrapper, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def text_config(model: Any) -> Any:
    """The configuration of a model's text decoder. Multimodal models keep it inside their own."""
    return base_model(model).config.get_text_config(decoder=True)


def most_positions(model: Any) -> int | None:
    """How many tokens a model's context has; None if nothing limits it."""
    value = getattr(text_config(model), "max_position_embeddings", None)
    return value if isinstance(value, int) and value > 0 else None


def set_end_tokens(model: Any, ends: Sequence[int]) -> None:
    """Put these tokens before the model's own end tokens, in memory and in the saved model."""
    inner = base_model(model)
    before = getattr(inner.generation_config, "eos_token_id", None)
    others = before if isinstance(before, list) else [before]
    inner.generation_config.eos_token_id = list(dict.fromkeys([*ends, *(t for t in others if t is not None)]))
    value = ends[0] if len(ends) == 1 else list(ends)
    for config in {id(each): each for each in (inner.config, text_config(inner))}.values():
        config.eos_token_id = value
