"""Where examples come from, and how they become token batches.

examples.py   files and the embedded data -> Example
encode.py     Example + template + tokenizer -> Encoded, with what was truncated or dropped
batches.py    Encoded -> padded batches in a seeded order with an exact cursor
"""

from codedistill.data.batches import Batch, BatchPlan, collate
from codedistill.data.encode import Encoded, EncodingReport, encode_examples
from codedistill.data.examples import Example, load_examples

__all__ = ["Batch", "BatchPlan", "Encoded", "EncodingReport", "Example", "collate", "encode_examples", "load_examples"]
