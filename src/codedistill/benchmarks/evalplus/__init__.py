"""EvalPlus's benchmarks: many inputs per task, checked against the reference solution's outputs.

plus.py       checks by input, and the program that computes expected outputs
arguments.py  the inputs of a task
values.py     values as text, and their comparison
"""
