"""From a model to verdicts.

generate.py  a model's completions as samples.jsonl
samples.py   samples files of any tool
execute.py   verdicts on samples, and their summary
limits.py    the limits under which programs run
expected.py  expected outputs, computed once by the reference solutions
"""
