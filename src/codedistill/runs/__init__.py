"""What a run leaves behind.

directory.py    what lies where in runs/<name>/
files.py        files that are never half written
lock.py         one writer to a folder
environment.py  versions, hardware and memory of a run
"""
