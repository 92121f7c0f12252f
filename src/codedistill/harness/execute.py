"""From samples.jsonl to results.jsonl and summary.json: runs every program, and keeps each verdict at once."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from codedistill import evaluation, sandbox
from codedistill.benchmarks import Benchmark, Problem
from codedistill.benchmarks.evalplus.plus import base_only
from codedistill.errors import InfrastructureError, UserError
from codedistill.harness.expected import with_checks
from codedistill.harness.limits import judge
from codedistill.harness.samples import read_samples, samples_hash
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation
from codedistill.runs.directory import EvaluationDirectory, require_no_run
from codedistill.runs.environment import package_version
from codedistill.runs.files import (
    append_row,
    load,
    make_folder,
    read_model,
    read_rows,
    read_unfinished,
    set_aside,
    write_model,
    write_rows,
)
from codedistill.runs.schema import (
    EvaluationSummary,
    FinishedRow,
    ResultRow,
    ResultsRequest,
    SampleRow,
    SamplesRequest,
)

log = logging.getLogger(__name__)


def execute(
    samples: Path,
    tasks: Benchmark,
    settings: Evaluation,
    folder: Path,
    watch: Watch | None = None,
    request: SamplesRequest | None = None,
) -> EvaluationSummary:
    """Run every program of a samples file; write results.jsonl, in the samples' order, and summary.json to `folder`.

    Each verdict is kept at once: an interrupted call continues if samples and settings are the same. `request`
    describes the model that wrote the samples, for the summary.

    Raises:
        UserError: the file is malformed (the message names the line), has tasks that the benchmark lacks, or would be
            overwritten; or the benchmark's own checks are broken.
        InfrastructureError: the sandbox failed, so that no verdict can be trusted.
    """
    start, watch, files = time.monotonic(), watch or Watch(), EvaluationDirectory(folder)
    _require_own_files(samples, files)
    rows = read_samples(samples, tasks)
    sampled = {row.task_id for row in rows}
    problems = [problem for problem in tasks.problems if problem.task_id in sampled]
    if settings.isolation is not None:
        problems = [replace(problem, isolation=settings.isolation) for problem in problems]
    ready = with_checks(replace(tasks, problems=tuple(problems)), watch)
    make_folder(folder)
    wanted = ResultsRequest(
        samples=samples_hash(samples),
        benchmark=tasks.sha256,
        timeout=settings.timeout,
        isolation=settings.isolation,
        sandbox=sandbox.sandbox_layer(),
        version=package_version(),
    )
    finished = _finished(files.unfinished_results, wanted)
    _run(rows, ready, settings.timeout, finished, files.unfinished_results, watch)
    verdicts = [finished[number] for number in range(len(rows))]
    write_rows(files.results, verdicts)
    _note_broken_checks(verdicts, tasks.source)
    truncated = [row for row in rows if row.finish == "length"]
    fields: dict[str, Any] = {
        "inputs_left_out": sum(problem.inputs_left_out for problem in ready.problems),
        "truncated": len(truncated),
        "context_full": sum((row.tokens or math.inf) < request.max_new_tokens for row in truncated) if request else 0,
    }
    fields = {name: count for name, count in fields.items() if count}
    if request is not None:
        fields |= {"model": request.model, "parameters": request.parameters}
        fields |= {"prompt_form": request.form, "template": request.template}
    summary = EvaluationSummary(
        benchmark=tasks.name,
        benchmark_tasks=tasks.size or len(tasks.problems),
        sandbox=wanted.sandbox,
        isolation="+".join(sorted({verdict.isolation for verdict in verdicts if verdict.isolation})),
        sha256=tasks.sha256,
        seconds=round(time.monotonic() - start, 2),
        **evaluation.summarize(verdicts).to_json(),
        **fields,
    )
    write_model(files.summary, summary)
    files.unfinished_results.unlink(missing_ok=True)
    return summary


def _note_broken_checks(verdicts: list[ResultRow], source: str) -> None:
    """Warn about tasks whose checks are broken; the warning names the first one.

    Raises:
        UserError: no program has a verdict.
    """
    broken = [verdict for verdict in verdicts if verdict.status == "broken_checks"]
    if not broken:
        return
    judged, tasks = evaluation.with_verdict(verdicts), len({verdict.task_id for verdict in broken})
    text = f"{source}: {broken[0].task_id}: its checks are broken: {broken[0].message}"
    if not judged:
        raise UserError(f"{text}; no program has a verdict")
    log.warning("%s; %d programs of %d tasks have no verdict", text, len(verdicts) - len(judged), tasks)


def _require_own_files(samples: Path, files: EvaluationDirectory) -> None:
    """Refuse to overwrite the samples, or a file that `execute` has not written.

    Raises:
        UserError: there is such a file.
    """
    require_no_run(files.path)
    for file in files.verdicts:
        if file.exists() and samples.exists() and file.samefile(samples):
            raise UserError(f"{samples}: the results would overwrite it; rename it or choose another output")
    for file in (files.results, files.summary):
        if not file.exists():
            continue
        try:
            is_ours = bool(read_rows(file, ResultRow) if file == files.results else read_model(file, EvaluationSummary))
        except UserError:
            is_ours = False
        if not is_ours:
            raise UserError(f"{file}: was not written by codedistill execute; rename it or choose another output")


def _finished(file: Path, wanted: ResultsRequest) -> dict[int, ResultRow]:
    """Verdicts of an interrupted call by the rows' numbers. A file of another request is moved aside for a new one."""
    first, *others = read_unfinished(file) or [{}]
    try:
        if first == wanted.to_json():  # with the same keys too: a key that a version adds changes the verdicts
            kept = [load(FinishedRow, row, str(file)) for row in others]
            return {row.row: row.verdict for row in kept}
    except UserError:  # edited, or written by another version
        pass
    if moved := set_aside([file]):
        log.warning("%s: moved unfinished verdicts on other samples or settings to %s", file.parent, moved)
    append_row(file, wanted)
    return {}


def _run(
    rows: list[SampleRow], tasks: Benchmark, timeout: float, finished: dict[int, ResultRow], file: Path, watch: Watch
) -> None:
    """Add the missing verdicts to `finished` and to its file. Where EvalPlus's inputs fail, the base inputs follow."""
    problems = {problem.task_id: problem for problem in tasks.problems}

    def keep(number: int, verdict: ResultRow) -> None:
        finished[number] = verdict
        append_row(file, FinishedRow(row=number, verdict=verdict))
        watch.count("executed", len(finished), len(rows))

    def keep_whole(number: int, result: sandbox.Result) -> None:
        keep(number, _verdict(rows[number], problems[rows[number].task_id], result))

    def keep_base(number: int, result: sandbox.Result) -> None:
        keep(number, finished[number].model_copy(update={"base_passed": result.passed}))

    try:
        whole = {n: (row.solution, problems[row.task_id]) for n, row in enumerate(rows) if n not in finished}
        judge(whole, tasks, timeout, keep_whole, watch)
        base = {
            n: (rows[n].solution, base_only(problems[rows[n].task_id]))
            for n, verdict in finished.items()
            if "base_passed" in verdict.model_fields_set and verdict.base_passed is None
        }
        judge(base, tasks, timeout, keep_base, watch)
    except InfrastructureError as error:
        kept = f"{len(finished)} of {len(rows)} verdicts are kept"
        raise InfrastructureError(f"{error}; {kept}: run the same command again") from None


def _verdict(row: SampleRow, problem: Problem, result: sandbox.Result) -> ResultRow:
    category = evaluation.classify(
        evaluation.Verdict(
            status=result.status.value,
            error_type=result.error_type,
            message=result.message,
            raised_in=result.raised_in,
            reached_checks=result.reached_checks,
            raised_deliberately=result.raised_deliberately,
            source=row.solution,
            completion=row.completion,
            entry_point=problem.entry_point,
            hit_token_limit=row.finish == "length",
        )
    )
    base: dict[str, Any] = {}
    if problem.cases is not None:  # after a failure in the checks, the base inputs are tried alone
        base["base_passed"] = None if result.reached_checks and not result.passed else result.passed
    return ResultRow(
        task_id=row.task_id,
        sample=row.sample,
        passed=result.passed,
        status=result.status.value,
        category=category,
        error_type=result.error_type,
        message=result.message,
        line=result.line,
        seconds=round(result.seconds, 4),
        sandbox=result.layer,
        isolation=problem.isolation,
        **base,
    )
