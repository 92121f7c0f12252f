"""The command line.

verbs.py      the verbs of the command line
overrides.py  key=value arguments of the verbs that evaluate
bars.py       progress on a terminal or in a log
resume.py     the command that resumes an interrupted verb
doctor.py     checks of this machine
"""

from codedistill.cli.verbs import main

__all__ = ["main"]
