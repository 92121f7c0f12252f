"""Two models on the same tasks: the difference, its interval, and on how many tasks each is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codedistill.evaluation import Paired, paired_difference
from codedistill.report.load import Evaluated, Run
from codedistill.report.tables import without
from codedistill.report.text import p_value, points, visible

HEADER = ["", "benchmark", "tasks", "difference", "95% interval", "better", "worse", "equal", "p"]


@dataclass(frozen=True)
class Difference:
    """`first` minus `second` over the `tasks` that both were asked; `paired` has shares of passing samples."""

    first: str
    second: str
    benchmark: str
    tasks: int
    paired: Paired

    def cells(self) -> list[str]:
        """In the order of `HEADER`."""
        low, high = self.paired.interval
        return [
            visible(f"{self.first} minus {self.second}"),
            visible(self.benchmark),
            str(self.tasks),
            points(self.paired.difference),
            f"{low * 100:+.1f} to {high * 100:+.1f}",
            str(self.paired.wins),
            str(self.paired.losses),
            str(self.tasks - self.paired.wins - self.paired.losses),
            p_value(self.paired.p),
        ]


def shared_tasks(evaluated: Sequence[Evaluated]) -> list[str]:
    """The tasks that all of them have, in the first one's order; none where the benchmark's data differ."""
    if len({one.sha256 for one in evaluated}) != 1:
        return []
    return [task for task in evaluated[0].verdicts if all(task in one.verdicts for one in evaluated)]


def difference(first: Evaluated, second: Evaluated, names: tuple[str, str]) -> Difference | None:
    """Compare two models on the tasks that both have; None where there are none or the benchmark's data differ."""
    shared = shared_tasks((first, second))
    if not shared:
        return None
    a, b = first.shares, second.shares
    paired = paired_difference([a[task] for task in shared], [b[task] for task in shared])
    return Difference(*names, first.benchmark, len(shared), paired)


def differences(run: Run) -> list[Difference]:
    """The distilled student against the base student and against the teacher, for each benchmark."""
    found = []
    for benchmark in run.table.benchmarks:
        student = run.evaluated("student", benchmark)
        for who in ("base", "teacher"):
            other = run.evaluated(who, benchmark)
            if student is not None and other is not None:
                found.append(difference(student, other, ("student", who)))
    return [item for item in found if item is not None]


def difference_table(items: list[Difference]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of text; the benchmark is left out where there is only one."""
    rows = [item.cells() for item in items]
    return (HEADER, rows) if len({item.benchmark for item in items}) > 1 else without("benchmark", HEADER, rows)
