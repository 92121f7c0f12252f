"""Runs untrusted programs under trusted checks, and reports how each one ended.

model.py        Program, Limits, Result
pool.py         run_programs: many programs over several workers
available.py    the layers that work on this machine
worker.py       the caller's end of a supervisor
supervisor.py   the process that forks programs, limits them and reports
candidate.py    the process of a program
checker.py      the process of the checks in `data` isolation
checks_text.py  facts from the text of checks
wire.py         frames, and plain data as JSON
failures.py     exceptions as data
layers.py       the layers, from the strongest to the weakest; Landlock's
namespaces.py   the strongest layer
rlimits.py      the weakest layer, which the others extend
seccomp.py      the filter of system calls
places.py       the files that programs may read
folders.py      deletes the folders of programs
system.py       Linux system calls that Python lacks
testing.py      a sandbox for tests of calling code
"""

from codedistill.sandbox.available import describe_layers, sandbox_layer
from codedistill.sandbox.model import Isolation, Limits, Program, Result, Status
from codedistill.sandbox.pool import run_programs

__all__ = [
    "Isolation",
    "Limits",
    "Program",
    "Result",
    "Status",
    "describe_layers",
    "run_programs",
    "sandbox_layer",
]
