"""Completions of a model as a samples file, and samples files of any tool as rows."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill import benchmarks
from codedistill.errors import UserError
from codedistill.harness.samples import PARTIAL, REQUEST, SAMPLES, VERDICTS, Rows
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation, ModelSpec
from codedistill.runs.directory import require_no_run
from codedistill.runs.files import (
    append_jsonl,
    make_folder,
    read_jsonl,
    read_unfinished,
    set_aside,
    write_json,
    write_jsonl,
)

if TYPE_CHECKING:
    from codedistill.generation import Completion, Request
    from codedistill.models import Loaded

log = logging.getLogger(__name__)


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

    from codedistill.models.precision import bfloat16_fault

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
    from codedistill.models.template import saved_template
    from codedistill.prompts import TEMPLATES

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
