"""Programs of a samples file, run: verdicts by row and their summary."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codedistill import benchmarks, evaluation, sandbox
from codedistill.config import Evaluation
from codedistill.expected import with_checks
from codedistill.run_directory import make_folder, write_json, write_jsonl
from codedistill.samples import read_samples
from codedistill.watch import Watch


@dataclass(frozen=True)
class ModelResult:
    """One model on one benchmark: what summary.json says, as a mapping with the design's keys."""

    values: Mapping[str, Any]

    @property
    def pass_at_1(self) -> float:
        return float(self.values["pass@1"])

    def to_json(self) -> dict[str, Any]:
        return dict(self.values)


def execute(
    samples: Path, tasks: benchmarks.Benchmark, settings: Evaluation, folder: Path, watch: Watch | None = None
) -> ModelResult:
    """Run every program of a samples file; results.jsonl and summary.json go to `folder`, in the samples' order.

    Raises:
        UserError: the file is malformed (by line) or names tasks that the benchmark does not have.
        InfrastructureError: the sandbox failed, so that there are no trustworthy verdicts.
    """
    start, watch = time.time(), watch or Watch()
    make_folder(folder)
    rows = read_samples(samples, tasks)
    asked = {row["task_id"] for row in rows}
    tasks = replace(tasks, problems=tuple(problem for problem in tasks.problems if problem.task_id in asked))
    problems = {problem.task_id: problem for problem in with_checks(tasks, watch).problems}
    outcomes = _run(rows, problems, settings.timeout, watch)
    results = [_result_row(row, problems[row["task_id"]], outcome) for row, outcome in zip(rows, outcomes, strict=True)]
    write_jsonl(folder / "results.jsonl", results)
    summary = evaluation.summarize(results)
    left_out = sum(problem.inputs_left_out for problem in problems.values())
    values = {
        "benchmark": tasks.name,
        **summary.to_json(),
        "sandbox": sandbox.sandbox_layer(),
        "sha256": tasks.sha256,
        **({"inputs_left_out": left_out} if left_out else {}),
        "seconds": round(time.time() - start, 2),
    }
    write_json(folder / "summary.json", values)
    return ModelResult(values)


def _run(
    rows: list[dict[str, Any]], problems: Mapping[str, benchmarks.Problem], timeout: float, watch: Watch
) -> list[sandbox.Result]:
    """Outcomes in the rows' order, each program under the limits of its problem."""
    outcomes: dict[int, sandbox.Result] = {}
    by_limits: dict[sandbox.Limits, list[int]] = {}
    count = watch.counter("executed", len(rows))
    for number, row in enumerate(rows):
        by_limits.setdefault(_limits(problems[row["task_id"]], timeout), []).append(number)
    for limits, numbers in sorted(by_limits.items(), key=lambda item: item[0].wall_seconds):
        wanted = [(rows[n]["solution"], problems[rows[n]["task_id"]]) for n in numbers]
        programs = [sandbox.Program(source, problem.checks, problem.entry_point) for source, problem in wanted]
        outcomes.update(zip(numbers, sandbox.run_programs(programs, limits, count), strict=True))
    return [outcomes[number] for number in range(len(rows))]


def _limits(problem: benchmarks.Problem, timeout: float) -> sandbox.Limits:
    """`timeout` of wall time. Where the reference solution is slow: four times its CPU time, under any load."""
    if 16 * problem.reference_seconds <= timeout:
        return sandbox.Limits(wall_seconds=timeout)
    cpu = max(timeout, math.ceil(4 * problem.reference_seconds))
    return sandbox.Limits(wall_seconds=8 * cpu, cpu_seconds=cpu)


def _result_row(row: dict[str, Any], problem: benchmarks.Problem, outcome: sandbox.Result) -> dict[str, Any]:
    verdict = evaluation.Verdict(
        status=outcome.status.value,
        error_type=outcome.error_type,
        message=outcome.message,
        raised_in=outcome.raised_in,
        reached_checks=outcome.reached_checks,
        raised_deliberately=outcome.raised_deliberately,
        source=row["solution"],
        completion=row["completion"],
        entry_point=problem.entry_point,
        hit_token_limit=row["finish"] == "length",
    )
    return {
        "task_id": row["task_id"],
        "sample": row["sample"],
        "passed": outcome.status is sandbox.Status.PASSED,
        "status": outcome.status.value,
        "category": evaluation.classify(verdict),
        "error_type": outcome.error_type,
        "message": outcome.message,
        "line": outcome.line,
        "seconds": round(outcome.seconds, 4),
        "sandbox": outcome.layer,
    }
