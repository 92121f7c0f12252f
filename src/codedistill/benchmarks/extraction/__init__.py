"""From a model's text to the program that is run.

program.py  the whole way, and a function body under its prompt
answer.py   the answer in the text, without thoughts and chat markup
fences.py   code in Markdown fences; which of several versions counts
syntax.py   code or prose
"""

from codedistill.benchmarks.extraction.program import program_source

__all__ = ["program_source"]
