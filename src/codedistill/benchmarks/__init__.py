"""Problems, and how a completion becomes a program. Nothing here runs anything, and no problem holds its solution.

problems.py     Problem, Benchmark, and how a problem is asked
loading.py      a name, a file or both -> Benchmark
sources.py      files, the hub, installed packages; the table of names
formats.py      rows of HumanEval's, MBPP's and EvalPlus's kind -> Problem
checks.py       what checks need from the prompt, and whether they are any
evalplus/       EvalPlus's inputs, and checks by the reference's outputs
extraction/     a model's text -> the program that is run
references.py   reference solutions
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
