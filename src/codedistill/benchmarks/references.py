"""Reference solutions, for expected outputs and for tests of the harness. Nothing on a model's side imports this."""

from __future__ import annotations

from codedistill.benchmarks.formats import format_of, task_id_of
from codedistill.benchmarks.loading import read_benchmark


def references(name_or_path: str) -> dict[str, str]:
    """Task id -> whole reference program, of those tasks whose data have one."""
    _, data = read_benchmark(name_or_path)
    shape = format_of(data.rows[0][1])
    found = {task_id_of(row): shape.reference(row) for _, row in data.rows}
    return {task_id: source for task_id, source in found.items() if source is not None}
