"""Completions of a model as a samples file, and samples files of any tool as rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill import benchmarks
from codedistill.config import Evaluation, ModelSpec
from codedistill.errors import UserError
from codedistill.run_directory import make_folder, numbered_rows, read_jsonl, write_json, write_jsonl
from codedistill.watch import Watch

if TYPE_CHECKING:
    from codedistill.models import Loaded


def write_samples(
    spec: ModelSpec, tasks: benchmarks.Benchmark, settings: Evaluation, folder: Path, template: str | None, watch: Watch
) -> dict[str, Any]:
    """Completions of one model into folder/samples.jsonl. Rows of an earlier call for the same prompts are kept."""
    import torch

    from codedistill.generation import Request, Sampling, generate
    from codedistill.models import load_model

    make_folder(folder)
    model = load_model(spec, "model")
    about = describe_request(spec, model, tasks, settings, template)
    if torch.accelerator.is_available():
        network: Any = model.model
        network.to(torch.accelerator.current_accelerator())
    prompts = [prompt_for(problem, settings.form, about["template"], model) for problem in tasks.problems]
    requests = [
        Request(i, prompt, problem.stop if settings.form == "complete" else (), sample)
        for i, (prompt, problem) in enumerate(zip(prompts, tasks.problems, strict=True))
        for sample in range(settings.samples)
    ]
    rows = _earlier_samples(folder, about, tasks, prompts)
    wanted = [r for r in requests if (tasks.problems[r.index].task_id, r.sample) not in rows]
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.seed, settings.batch_size)
    write_json(folder / "request.json", about)
    partial = folder / "samples.partial.jsonl"
    for done in generate(model, wanted, sampling):
        problem = tasks.problems[done.index]
        row = {
            "task_id": problem.task_id,
            "sample": done.sample,
            "prompt": prompts[done.index],
            "completion": done.text,
            "solution": benchmarks.program_source(problem, done.text),
            "finish": done.finish.value,
            "tokens": done.tokens,
            "prompt_form": settings.form,
        }
        rows[problem.task_id, done.sample] = row
        _append(partial, row)
        watch.count("generated", len(rows), len(requests))
    order = [(problem.task_id, sample) for problem in tasks.problems for sample in range(settings.samples)]
    write_jsonl(folder / "samples.jsonl", [rows[key] for key in order])
    partial.unlink(missing_ok=True)
    return about


def describe_request(
    spec: ModelSpec, model: Loaded, tasks: benchmarks.Benchmark, settings: Evaluation, template: str | None
) -> dict[str, Any]:
    """What decides a model's completions, for request.json."""
    from codedistill.prompts import TEMPLATES
    from codedistill.training.save import saved_template

    chosen = "chat" if settings.form == "chat" else template or saved_template(spec) or "alpaca"
    if chosen not in TEMPLATES:
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


def prompt_for(problem: benchmarks.Problem, form: str, template: str, model: Loaded) -> str:
    """A problem as the model is asked it: as code to go on with, or as an instruction in a template."""
    from codedistill.prompts import TEMPLATES

    if form == "complete":
        return problem.prompt
    asked, given = benchmarks.instruction_of(problem)
    chosen = TEMPLATES[template]
    chosen.check(model.tokenizer)
    return chosen.render(asked, given.strip(), model.tokenizer)


def read_samples(path: Path, tasks: benchmarks.Benchmark) -> list[dict[str, Any]]:
    """Rows with task_id, sample, completion, solution and finish, from any tool's samples file.

    A row needs `task_id` and `solution` (a whole program) or `completion` (what the model wrote). Errors name the
    row by the number of its line.
    """
    problems = {problem.task_id: problem for problem in tasks.problems}
    seen: dict[str, int] = {}
    rows = []
    for number, row in numbered_rows(path):
        where, given_id = f"{path}: row {number}", row.get("task_id")
        problem = problems.get(given_id) if isinstance(given_id, str) else None
        problem = problem or tasks.find(given_id)
        if problem is None:
            raise UserError(f"{where}: task_id {given_id!r} is not a task of {tasks.name}; check --benchmark")
        task_id = problem.task_id
        given = row.get("solution") if row.get("solution") is not None else row.get("completion")
        if not isinstance(given, str):
            raise UserError(f"{where}: needs completion or solution as text")
        completion = row.get("completion") if isinstance(row.get("completion"), str) else given
        whole = row.get("solution") is not None
        rows.append(
            {
                "task_id": task_id,
                "sample": row.get("sample", seen.get(task_id, 0)),
                "completion": completion,
                "solution": given if whole else benchmarks.program_source(problem, given),
                "finish": row.get("finish"),
            }
        )
        seen[task_id] = seen.get(task_id, 0) + 1
    if not rows:
        raise UserError(f"{path}: holds no samples")
    return rows


def _earlier_samples(
    folder: Path, about: dict[str, Any], tasks: benchmarks.Benchmark, prompts: list[str]
) -> dict[tuple[str, int], dict[str, Any]]:
    """Samples of an earlier call with the same request and the same prompts; otherwise none, and stale files go."""
    partial, whole, request = folder / "samples.partial.jsonl", folder / "samples.jsonl", folder / "request.json"
    expected = {problem.task_id: prompt for problem, prompt in zip(tasks.problems, prompts, strict=True)}
    if request.exists() and json.loads(request.read_text()) == about:
        kept = [*(read_jsonl(whole) if whole.exists() else []), *(_whole_lines(partial) if partial.exists() else [])]
        rows = [row for row in kept if expected.get(row["task_id"]) == row["prompt"]]
        return {(row["task_id"], row["sample"]): row for row in rows}
    partial.unlink(missing_ok=True)
    whole.unlink(missing_ok=True)
    return {}


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Rows of a file whose last line a killed process may have left unfinished; the file is cut to the whole ones."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    path.write_text(whole, encoding="utf-8")
    return read_jsonl(path)


def _append(path: Path, row: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(row, ensure_ascii=True) + "\n")
