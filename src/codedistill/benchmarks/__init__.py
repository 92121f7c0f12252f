"""Problems, and how a completion becomes a program. Nothing here runs anything, and no problem holds its solution.

problems.py      Problem, Benchmark, and how a problem is asked
loading.py       names, files, installed packages -> Benchmark
extraction.py    a model's text -> the program that is run
references.py    canonical solutions, for tests of the harness itself
"""

from codedistill.benchmarks.extraction import program_source
from codedistill.benchmarks.loading import BENCHMARKS, load_benchmark
from codedistill.benchmarks.problems import Benchmark, Problem, instruction_of

__all__ = ["BENCHMARKS", "Benchmark", "Problem", "instruction_of", "load_benchmark", "program_source"]
