"""The embedded default: a generator of small Python tasks, and a teacher and a student trained on them.

pieces.py     the vocabulary: sources, predicates, maps and reductions, each with words and code
tasks.py      a composition of pieces becomes a task: instruction, signature, solution, tests with random arguments
datasets.py   the three disjoint sets: pre-training text, instructions, the benchmark `tiny`
build.py      builds everything in `assets/` from scratch
"""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
"""Folder with `teacher/`, `student/` and `benchmark.jsonl`."""
