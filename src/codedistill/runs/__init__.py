"""The run directory.

directory.py    the names of the files in runs/<name>/
schema.py       the content of each file
files.py        reading, and writing so that a file is whole or absent
lock.py         one writer per folder
environment.py  versions, hardware and memory of a run
"""
