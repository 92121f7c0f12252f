"""EvalPlus's benchmarks: many inputs per task, checked against the reference solution's outputs.

plus.py      its rows as problems, and checks by input
codec.py     inputs and outputs as text
equality.py  how outputs are compared
scripts.py   programs that compute expected outputs
"""
