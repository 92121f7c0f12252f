"""Programs of a samples file, run: verdicts by row and their summary."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codedistill import benchmarks, evaluation, sandbox
from codedistill.benchmarks.evalplus.plus import base_only
from codedistill.errors import InfrastructureError, UserError
from codedistill.harness.expected import reference_seconds, with_checks
from codedistill.harness.limits import judge, warn_of_checks
from codedistill.harness.samples import VERDICTS, read_samples
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation
from codedistill.runs.directory import require_no_run
from codedistill.runs.environment import package_version
from codedistill.runs.files import (
    append_jsonl,
    make_folder,
    read_bytes,
    read_unfinished,
    set_aside,
    write_json,
    write_jsonl,
)

log = logging.getLogger(__name__)

RESULTS, PARTIAL, SUMMARY = VERDICTS

OURS = {RESULTS: {"task_id", "passed", "status", "category"}, SUMMARY: {"benchmark", "tasks", "pass@1"}}
"""Keys by which files of an earlier call are known, in their first line or altogether."""


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

    Verdicts are kept as they come: a call that was interrupted goes on where it was, for the same samples.

    Raises:
        UserError: the file is malformed (by line), names tasks that the benchmark does not have, or would be
            overwritten; or the benchmark's own checks are at fault.
        InfrastructureError: the sandbox failed, so that there are no trustworthy verdicts.
    """
    start, watch = time.time(), watch or Watch()
    _require_own_folder(samples, folder)
    rows = read_samples(samples, tasks)
    asked = {row["task_id"] for row in rows}
    ready = replace(tasks, problems=tuple(problem for problem in tasks.problems if problem.task_id in asked))
    ready = with_checks(ready, watch)
    warn_of_checks(ready)
    make_folder(folder)
    results = _verdicts(rows, ready, settings.timeout, _Unfinished(folder, samples, tasks, settings), watch)
    write_jsonl(folder / RESULTS, results)
    summary = evaluation.summarize(results)
    left_out = sum(problem.inputs_left_out for problem in ready.problems)
    values = {
        "benchmark": tasks.name,
        "benchmark_tasks": tasks.size or len(tasks.problems),
        **summary.to_json(),
        "sandbox": sandbox.sandbox_layer(),
        "sha256": tasks.sha256,
        **({"inputs_left_out": left_out} if left_out else {}),
        "seconds": round(time.time() - start, 2),
    }
    write_json(folder / SUMMARY, values)
    (folder / PARTIAL).unlink(missing_ok=True)
    return ModelResult(values)


def _require_own_folder(samples: Path, folder: Path) -> None:
    """Nothing may be overwritten that this command has not made.

    Raises:
        UserError: something would be.
    """
    require_no_run(folder)
    for name in (RESULTS, SUMMARY, PARTIAL):
        file = folder / name
        if file.exists() and samples.exists() and file.samefile(samples):
            raise UserError(f"{samples}: the results would overwrite it; rename it or choose another output")
    for name, keys in OURS.items():
        if (folder / name).exists() and not _has_keys(folder / name, keys):
            raise UserError(f"{folder / name}: is not of codedistill execute; rename it or choose another output")


def _has_keys(path: Path, keys: set[str]) -> bool:
    """Whether the file, if it is JSONL its first line, is an object with these keys."""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text.partition("\n")[0] if path.suffix == ".jsonl" else text)
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and keys <= found.keys()


class _Unfinished:
    """Verdicts as they come, by the rows' numbers. The file's first line says what they are of."""

    def __init__(self, folder: Path, samples: Path, tasks: benchmarks.Benchmark, settings: Evaluation) -> None:
        self._file = folder / PARTIAL
        about = {
            "samples": hashlib.sha256(read_bytes(samples)).hexdigest(),
            "benchmark": tasks.sha256,
            "timeout": settings.timeout,
            "sandbox": sandbox.sandbox_layer(),
            "version": package_version(),
        }
        first, *rows = read_unfinished(self._file) or [{}]
        if first == about:
            self.verdicts = {row["row"]: row["verdict"] for row in rows}
            return
        if moved := set_aside(folder, [PARTIAL]):
            log.warning("%s: unfinished verdicts of other samples or settings are now in %s", folder, moved)
        self.verdicts = {}
        append_jsonl(self._file, about)

    def keep(self, number: int, verdict: dict[str, Any]) -> None:
        self.verdicts[number] = verdict
        append_jsonl(self._file, {"row": number, "verdict": verdict})


def _verdicts(
    rows: list[dict[str, Any]], tasks: benchmarks.Benchmark, timeout: float, kept: _Unfinished, watch: Watch
) -> list[dict[str, Any]]:
    """Rows of results.jsonl, in the samples' order."""
    problems = {problem.task_id: problem for problem in tasks.problems}
    programs = {
        number: (row["solution"], problems[row["task_id"]])
        for number, row in enumerate(rows)
        if number not in kept.verdicts
    }

    def report(number: int, outcome: sandbox.Result) -> None:
        row = rows[number]
        kept.keep(number, _result_row(row, problems[row["task_id"]], outcome))
        watch.count("executed", len(kept.verdicts), len(rows))

    def report_base(number: int, outcome: sandbox.Result) -> None:
        kept.keep(number, kept.verdicts[number] | {"base_passed": outcome.passed})

    try:
        judge(programs, timeout, lambda slow: reference_seconds(tasks, slow), report)
        base = {
            number: (rows[number]["solution"], base_only(problems[rows[number]["task_id"]]))
            for number, verdict in kept.verdicts.items()
            if verdict.get("base_passed", False) is None
        }
        judge(base, timeout, lambda slow: reference_seconds(tasks, slow), report_base)
    except InfrastructureError as error:
        done = len(kept.verdicts)
        raise InfrastructureError(f"{error}; {done} of {len(rows)} verdicts are kept: run the same again") from None
    except UserError as error:
        raise UserError(f"{tasks.source}: {error}") from None
    return [kept.verdicts[number] for number in range(len(rows))]


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
        "passed": outcome.passed,
        **({"base_passed": _base_passed(outcome)} if problem.cases is not None else {}),
        "status": outcome.status.value,
        "category": evaluation.classify(verdict),
        "error_type": outcome.error_type,
        "message": outcome.message,
        "line": outcome.line,
        "seconds": round(outcome.seconds, 4),
        "sandbox": outcome.layer,
    }


def _base_passed(outcome: sandbox.Result) -> bool | None:
    """Whether the base inputs pass, of a program that was tried on all of EvalPlus's inputs; None: to be tried."""
    return None if outcome.reached_checks and not outcome.passed else outcome.passed
