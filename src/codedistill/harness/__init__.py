"""From a model to verdicts.

generate.py  a model's completions as samples.jsonl
samples.py   a samples file of any tool as rows
execute.py   verdicts on samples, and their summary
limits.py    the limits under which programs run
expected.py  expected outputs, computed once by the reference solutions
"""
