"""Models and tokenizers.

names.py           whether a folder or hub id exists, without torch
loading.py         folders, hub ids, the embedded pair and fresh architectures -> Loaded
config.py          a model's configuration, wherever its family keeps it
compare.py         whether a saved model is the same as the one in memory
heads.py           hidden states at chosen positions, and the output head with its scale and cap
vocabulary.py      whether teacher and student have the same tokens
layers.py          a smaller student by keeping some layers
lora.py            adapters
precision.py       whether this processor computes bfloat16
saved_template.py  the prompt template that a saved student was trained with
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.models.compare import verify_saved
    from codedistill.models.config import set_end_tokens, text_config
    from codedistill.models.heads import HiddenStates, output_head
    from codedistill.models.loading import Loaded, load_model, load_tokenizer
    from codedistill.models.names import resolve
    from codedistill.models.vocabulary import own_vocabulary, shared_vocabulary

__all__ = [
    "HiddenStates",
    "Loaded",
    "load_model",
    "load_tokenizer",
    "output_head",
    "own_vocabulary",
    "resolve",
    "set_end_tokens",
    "shared_vocabulary",
    "text_config",
    "verify_saved",
]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: finding out that a folder is missing must not cost torch."""
    if name in __all__:
        for home in ("names", "config", "compare", "heads", "vocabulary", "loading"):
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
