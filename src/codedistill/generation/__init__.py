"""Prompts in, completions out.

decode.py    batched decoding with a cache; finished sequences leave the batch
"""

from codedistill.generation.decode import Completion, Finish, Mixture, Request, Sampling, generate

__all__ = ["Completion", "Finish", "Mixture", "Request", "Sampling", "generate"]
