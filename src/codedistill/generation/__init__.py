"""Prompts in, completions out.

requests.py    requests, completions, the Generator protocol, and when a sequence ends
choice.py      the generator for a model
own.py         the own engine: batches that sequences join and leave, and their cache
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
