"""Completions of a model as a samples file, and samples files of any tool as rows."""

from __future__ import annotations

import itertools
import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill import benchmarks
from codedistill.config import Evaluation, ModelSpec
from codedistill.errors import UserError
from codedistill.run_directory import (
    append_jsonl,
    make_folder,
    numbered_rows,
    read_jsonl,
    read_unfinished,
    require_no_run,
    set_aside,
    write_json,
    write_jsonl,
)
from codedistill.watch import Watch

if TYPE_CHECKING:
    from codedistill.generation import Completion, Request
    from codedistill.models import Loaded

log = logging.getLogger(__name__)

SAMPLES, PARTIAL, REQUEST = "samples.jsonl", "samples.partial.jsonl", "request.json"

VERDICTS = ("results.jsonl", "results.partial.jsonl", "summary.json")
"""What `codedistill.verdicts` makes of samples in the same folder."""

Rows = dict[tuple[str, int], dict[str, Any]]
"""Samples by task id and number."""


def write_samples(
    spec: ModelSpec, tasks: benchmarks.Benchmark, settings: Evaluation, folder: Path, template: str | None, watch: Watch
) -> dict[str, Any]:
    """Completions of one model into folder/samples.jsonl, and what decided them into folder/request.json.

    Samples of an earlier call for the same prompts are used again, those that are not asked for now are kept in
    samples.partial.jsonl. What lies in the folder and belongs to another request is moved to folder/earlier-N.

    Raises:
        UserError: the folder holds a run, or samples that this has not made; or the model cannot be asked.
    """
    from codedistill.generation import Sampling, generate
    from codedistill.models import load_model

    _require_own_folder(folder)
    _require_dtype(spec)
    make_folder(folder)
    model = load_model(spec, "model")
    about = describe_request(spec, model, tasks, settings, template)
    _to_accelerator(model)
    prompts = [prompt_for(problem, about["template"], model) for problem in tasks.problems]
    requests = _requests(prompts, settings)
    rows = _earlier_samples(folder, about, dict(zip((p.task_id for p in tasks.problems), prompts, strict=True)))
    asked = [(tasks.problems[request.index].task_id, request.sample) for request in requests]
    missing = [request for request, key in zip(requests, asked, strict=True) if key not in rows]
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.seed, settings.batch_size)
    write_json(folder / REQUEST, about)
    for number, done in enumerate(generate(model, missing, sampling), len(requests) - len(missing) + 1):
        row = _row(tasks.problems[done.index], prompts[done.index], done, settings.form)
        rows[row["task_id"], done.sample] = row
        append_jsonl(folder / PARTIAL, row)
        watch.count("generated", number, len(requests))
    _finish(folder, rows, asked)
    return about


def _require_dtype(spec: ModelSpec) -> None:
    """Refuse bfloat16 where this processor computes it wrongly."""
    import torch

    from codedistill.training.switches import bfloat16_fault

    if spec.dtype == "bfloat16" and not torch.accelerator.is_available() and (fault := bfloat16_fault()) is not None:
        raise UserError(f"dtype bfloat16: {fault}; set ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16, or take float32")


def _to_accelerator(model: Loaded) -> None:
    import torch

    if torch.accelerator.is_available():
        network: Any = model.model
        network.to(torch.accelerator.current_accelerator())


def _requests(prompts: list[str], settings: Evaluation) -> list[Request]:
    """Every prompt as often as samples are asked for."""
    from codedistill.generation import Request

    stops = benchmarks.STOPS if settings.form == "complete" else ()
    return [
        Request(index, prompt, stops, sample)
        for index, prompt in enumerate(prompts)
        for sample in range(settings.samples)
    ]


def _row(problem: benchmarks.Problem, prompt: str, done: Completion, form: str) -> dict[str, Any]:
    """A line of the samples file."""
    return {
        "task_id": problem.task_id,
        "sample": done.sample,
        "prompt": prompt,
        "completion": done.text,
        "solution": benchmarks.program_source(problem, done.text),
        "finish": done.finish.value,
        "tokens": done.tokens,
        "prompt_form": form,
    }


def describe_request(
    spec: ModelSpec, model: Loaded, tasks: benchmarks.Benchmark, settings: Evaluation, template: str | None
) -> dict[str, Any]:
    """What decides a model's completions, for request.json."""
    from codedistill.prompts import TEMPLATES
    from codedistill.training.save import saved_template

    by_form: dict[str, str | None] = {"complete": None, "chat": "chat"}
    chosen = by_form.get(settings.form, template or saved_template(spec) or "alpaca")
    if chosen is not None and chosen not in TEMPLATES:
        raise UserError(f"template {chosen}: does not exist; known: {', '.join(TEMPLATES)}")
    return {
        "model": str(spec),
        "keep_layers": spec.keep_layers,
        "template": chosen,
        "form": settings.form,
        "samples": settings.samples,
        "temperature": settings.temperature,
        "seed": settings.seed,
        "max_new_tokens": settings.max_new_tokens,
        "parameters": model.parameters,
        "weights": model.fingerprint(),
        "benchmark": tasks.sha256,
    }


def require_template_is_used(template: str | None, settings: Evaluation) -> None:
    """Refuse a template that was asked for where none, or another, makes the prompts.

    Raises:
        UserError: it would not be used.
    """
    if template is not None and settings.form != "instruct":
        raise UserError(f"template {template}: has no effect with form={settings.form}; drop one of the two")


def prompt_for(problem: benchmarks.Problem, template: str | None, model: Loaded) -> str:
    """A problem as the model is asked it: as an instruction in a template, or without one as code to go on with."""
    from codedistill.prompts import TEMPLATES

    if template is None:
        return problem.prompt
    if template == "chat" and not model.tokenizer.chat_template:
        raise UserError(f"model {model.name}: its tokenizer has no chat template; use form=instruct, template alpaca")
    asked, given = benchmarks.instruction_of(problem)
    chosen = TEMPLATES[template]
    chosen.check(model.tokenizer)
    return chosen.render(asked, given.strip(), model.tokenizer)


def read_samples(path: Path, tasks: benchmarks.Benchmark) -> list[dict[str, Any]]:
    """Rows with task_id, sample, completion, solution and finish, from any tool's samples file, which may be a .gz.

    A row needs `task_id` and `solution` (a whole program) or `completion` (what the model wrote). `sample` numbers
    the samples of a task; those without it are counted, around the numbers that others have.

    Raises:
        UserError: a row is malformed or is there twice, by the number of its line.
    """
    problems = {problem.task_id: problem for problem in tasks.problems}
    lines: dict[tuple[str, int], int] = {}
    rows = []
    for number, row in numbered_rows(path):
        where, given_id = f"{path}: line {number}", row.get("task_id")
        problem = problems.get(given_id) if isinstance(given_id, str) else None
        problem = problem or tasks.find(given_id)
        if problem is None:
            raise UserError(f"{where}: task_id {given_id!r} is not a task of {tasks.name}; check --benchmark")
        sample = _read_sample(row, problem, where)
        rows.append(sample)
        if sample["sample"] is not None:
            first = lines.setdefault((problem.task_id, sample["sample"]), number)
            if first != number:
                raise UserError(f"{where}: sample {sample['sample']} of {problem.task_id} is on line {first} already")
    if not rows:
        raise UserError(f"{path}: holds no samples")
    _number_the_others(rows, set(lines))
    return rows


def _read_sample(row: Mapping[str, Any], problem: benchmarks.Problem, where: str) -> dict[str, Any]:
    """A row in our form; its number is None where it has none."""
    whole = row.get("solution") is not None
    given = row["solution"] if whole else row.get("completion")
    if not isinstance(given, str):
        raise UserError(f"{where}: needs completion or solution as text")
    sample = row.get("sample")
    if "sample" in row and (isinstance(sample, bool) or not isinstance(sample, int)):
        raise UserError(f"{where}: sample {sample!r} is not a number; without one the samples are counted")
    return {
        "task_id": problem.task_id,
        "sample": sample,
        "completion": row.get("completion") if isinstance(row.get("completion"), str) else given,
        "solution": given if whole else benchmarks.program_source(problem, given),
        "finish": row.get("finish"),
    }


def _number_the_others(rows: list[dict[str, Any]], taken: set[tuple[str, int]]) -> None:
    """Samples without a number get their place among their task's, or the first number behind it that is free."""
    seen: Counter[str] = Counter()
    for row in rows:
        task_id = row["task_id"]
        if row["sample"] is None:
            free = next(n for n in itertools.count(seen[task_id]) if (task_id, n) not in taken)
            row["sample"] = free
            taken.add((task_id, free))
        seen[task_id] += 1


def _require_own_folder(folder: Path) -> None:
    """Samples without the request that led to them are another tool's, or a user's own."""
    require_no_run(folder)
    if (folder / SAMPLES).exists() and not (folder / REQUEST).exists():
        raise UserError(f"{folder / SAMPLES}: is not of codedistill generate; rename it or choose another output")


def _earlier_samples(folder: Path, about: dict[str, Any], prompts: dict[str, str]) -> Rows:
    """Samples of an earlier call, if it asked for the same with the same prompts; otherwise all its files go aside."""
    whole = read_jsonl(folder / SAMPLES) if (folder / SAMPLES).exists() else []
    rows = [*whole, *read_unfinished(folder / PARTIAL)]
    if _is_same_request(folder / REQUEST, about) and all(_answers(row, prompts) for row in rows):
        return {(row["task_id"], row["sample"]): row for row in rows}
    moved = set_aside(folder, (SAMPLES, PARTIAL, REQUEST, *VERDICTS))
    if moved is not None:
        log.warning("%s: samples of another request lay here, they are now in %s", folder, moved)
    return {}


def _is_same_request(path: Path, about: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")) == about)
    except (OSError, ValueError, RecursionError):
        return False


def _answers(row: dict[str, Any], prompts: dict[str, str]) -> bool:
    """Whether a row has the columns of a sample, and its task's prompt; tasks that are not asked now may have any."""
    task_id, prompt = row.get("task_id"), row.get("prompt")
    typed = isinstance(task_id, str) and isinstance(prompt, str) and isinstance(row.get("sample"), int)
    return typed and prompts.get(str(task_id), prompt) == prompt


def _finish(folder: Path, rows: Rows, asked: list[tuple[str, int]]) -> None:
    """samples.jsonl with the rows that were asked for; the partial file, which has them all first, keeps the others."""
    chosen, wanted = [rows[key] for key in asked], set(asked)
    others = [row for key, row in rows.items() if key not in wanted]
    before = read_jsonl(folder / SAMPLES) if (folder / SAMPLES).exists() else None
    if before != chosen:
        if before is not None:
            set_aside(folder, VERDICTS)  # they are of those samples
        write_jsonl(folder / PARTIAL, list(rows.values()))
        write_jsonl(folder / SAMPLES, chosen)
    if others:
        write_jsonl(folder / PARTIAL, others)
    else:
        (folder / PARTIAL).unlink(missing_ok=True)
