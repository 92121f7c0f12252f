"""Problems, and the extraction of a program from a completion. No program is run here, and no problem has its solution.

problems.py     Problem, Benchmark, and the instruction for a task
loading.py      a name, a file or both -> Benchmark; the table of names; reference solutions
formats.py      rows in the formats of HumanEval, MBPP and EvalPlus -> Problem
evalplus/       EvalPlus's inputs, and checks by the reference's outputs
extraction/     a model's text -> the program that is run
"""

from codedistill.benchmarks.extraction import program_source
from codedistill.benchmarks.loading import BENCHMARKS, load_benchmark
from codedistill.benchmarks.problems import STOPS, Benchmark, Cases, Problem, instruction_of

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
