"""From a model's text to the program that is run.

program.py  the whole way, and a function body under its prompt
answer.py   which part of the text is the answer: no thoughts, no chat markup
fences.py   code in Markdown fences; which of several versions counts
syntax.py   what is code and what is prose
"""

from codedistill.benchmarks.extraction.program import program_source

__all__ = ["program_source"]
