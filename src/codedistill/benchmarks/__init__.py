"""Problems, and how a completion becomes a program. Nothing here runs a program, and no problem holds its solution.

problems.py     Problem, Benchmark, and how a model is asked
loading.py      a name, a file or both -> Benchmark; reference solutions
sources.py      files, the hub, installed packages; the table of names
formats.py      rows in the formats of HumanEval, MBPP and EvalPlus -> Problem
checks.py       whether checks can judge a program, and what they need from the prompt
evalplus/       EvalPlus's inputs, and checks by the reference's outputs
extraction/     a model's text -> the program that is run
"""

from codedistill.benchmarks.extraction import program_source
from codedistill.benchmarks.loading import load_benchmark
from codedistill.benchmarks.problems import STOPS, Benchmark, Cases, Problem, instruction_of
from codedistill.benchmarks.sources import BENCHMARKS

__all__ = [
    "BENCHMARKS",
    "STOPS",
    "Benchmark",
    "Cases",
    "Problem",
    "instruction_of",
    "load_benchmark",
    "program_source",
]
