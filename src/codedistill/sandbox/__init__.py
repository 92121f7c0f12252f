"""Runs untrusted programs and says how they ended."""

from codedistill.sandbox.model import Limits, Program, Result, Status
from codedistill.sandbox.pool import run_programs, sandbox_layer

__all__ = ["Limits", "Program", "Result", "Status", "run_programs", "sandbox_layer"]
