"""Prompts in, completions out.

requests.py     what is asked, and what comes back
sequences.py    one completion in the making, and when it ends
batch.py        the sequences that are decoded together
cache.py        their keys and values, in blocks that are written in place
decode.py       the loop: who joins, which token is next, who leaves
"""

from codedistill.generation.decode import generate
from codedistill.generation.requests import Completion, Finish, Mixture, Request, Sampling

__all__ = ["Completion", "Finish", "Mixture", "Request", "Sampling", "generate"]
