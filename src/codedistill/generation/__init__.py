"""Prompts in, completions out.

requests.py    requests, completions, the Generator protocol, and when a sequence ends
choice.py      which generator writes for a model
own.py         the own engine: who joins, which token is next, who leaves
batch.py       the sequences that are decoded together
cache.py       their keys and values, in blocks that are written in place
library.py     generation by transformers
"""

from codedistill.generation.choice import generator_for
from codedistill.generation.library import TransformersGenerator
from codedistill.generation.own import OwnEngine
from codedistill.generation.requests import Completion, Finish, Generator, Mixture, Request, Sampling

__all__ = [
    "Completion",
    "Finish",
    "Generator",
    "Mixture",
    "OwnEngine",
    "Request",
    "Sampling",
    "TransformersGenerator",
    "generator_for",
]
