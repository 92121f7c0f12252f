"""Canonical solutions, for testing the harness itself. Nothing that judges a model imports this."""

from __future__ import annotations

from codedistill.benchmarks.loading import read_benchmark


def references(name_or_path: str) -> dict[str, str]:
    """Task id -> whole reference program (prompt and canonical solution)."""
    return {row["task_id"]: row["prompt"] + row["canonical_solution"] for _, row in read_benchmark(name_or_path).rows}
