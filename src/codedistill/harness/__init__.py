"""From a model to verdicts.

generate.py  a model's completions as a samples file
samples.py   rows of any tool's samples file
execute.py   programs of a samples file, run: verdicts and their summary
limits.py    programs under the limits of their tasks
expected.py  expected outputs, computed once by the reference solutions
"""
