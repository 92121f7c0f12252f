"""What a run leaves behind.

directory.py    the names of the files in runs/<name>/
schema.py       what each file holds
files.py        reading, and writing so that a file is whole or absent
lock.py         one writer per folder
environment.py  versions, hardware and memory of a run
"""
