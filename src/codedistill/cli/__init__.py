"""The terminal and nothing else.

verbs.py      the verbs of the command line
overrides.py  key=value arguments
bars.py       progress on a terminal or in a log
resume.py     how to go on after an interruption
doctor.py     what this machine can do, and what is missing
"""

from codedistill.cli.verbs import main

__all__ = ["main"]
