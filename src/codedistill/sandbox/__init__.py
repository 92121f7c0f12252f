"""Runs untrusted programs and says how they ended."""

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
