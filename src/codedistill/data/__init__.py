"""Examples, and batches of their tokens.

examples.py   files and the embedded data -> Example
encode.py     Example + template + tokenizer -> Encoded, with counts of truncated and dropped examples
batches.py    Encoded -> padded batches in a seeded order with an exact cursor
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codedistill.data.batches import Batch, BatchPlan, collate
    from codedistill.data.encode import Encoded, EncodingReport, encode_examples
    from codedistill.data.examples import Example, load_examples

__all__ = ["Batch", "BatchPlan", "Encoded", "EncodingReport", "Example", "collate", "encode_examples", "load_examples"]


def __getattr__(name: str) -> object:
    """Import public names when they are first used: examples.py needs no torch."""
    if name in __all__:
        for home in ("examples", "encode", "batches"):
            module = import_module(f"{__name__}.{home}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
