"""From a model's text to the program that is run.

program.py  the whole way
turns.py    where the answer is in a chat's turns
fences.py   code in markdown fences
body.py     a function's body under its prompt
syntax.py   what is code and what is prose
"""

from codedistill.benchmarks.extraction.program import program_source

__all__ = ["program_source"]
