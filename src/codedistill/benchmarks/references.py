"""Reference solutions, for expected outputs and for tests of the harness. Nothing on a model's side imports this."""

from __future__ import annotations

from codedistill.benchmarks.formats import format_of, task_id_of
from codedistill.benchmarks.loading import read_benchmark


def references(name_or_path: str) -> dict[str, str]:
    """Task id -> whole reference program."""
    _, data = read_benchmark(name_or_path)
    return {task_id_of(row): format_of(data.rows[0][1]).reference(row) for _, row in data.rows}
