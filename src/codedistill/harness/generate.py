"""From a model to samples.jsonl: prompts, completions and the programs that they become."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill import benchmarks
from codedistill.errors import UserError, memory_for
from codedistill.harness.limits import require_checks
from codedistill.progress import Watch
from codedistill.recipe.sections import Evaluation, ModelSpec
from codedistill.runs.directory import EvaluationDirectory, require_no_run
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
from codedistill.runs.schema import SampleRow, SamplesRequest

if TYPE_CHECKING:
    from codedistill.generation import Completion
    from codedistill.models import Loaded

log = logging.getLogger(__name__)

Samples = dict[tuple[str, int], SampleRow]
"""By task id and number."""


@memory_for("writing completions", "evaluation.batch_size")
def write_samples(
    spec: ModelSpec, tasks: benchmarks.Benchmark, settings: Evaluation, folder: Path, template: str | None, watch: Watch
) -> SamplesRequest:
    """Write a model's completions to folder/samples.jsonl, and all that they depend on to folder/request.json.

    Samples of an earlier call with the same request are reused; those that are not wanted now stay in
    samples.partial.jsonl. Files of another request are moved to folder/earlier-N.

    Raises:
        UserError: the folder holds a run or another tool's samples, or the model cannot be used.
    """
    import torch

    from codedistill.generation import Request, Sampling, generator_for
    from codedistill.models import load_model
    from codedistill.models.precision import require_bfloat16

    require_checks(tasks)
    files = EvaluationDirectory(folder)
    require_no_run(folder)
    if files.samples.exists() and not files.request.exists():
        raise UserError(f"{files.samples}: was not written by codedistill; rename it or choose another output")
    if spec.dtype == "bfloat16" and not torch.accelerator.is_available():
        require_bfloat16("dtype")
    make_folder(folder)
    model = load_model(spec, "model")
    request = describe_request(spec, model, tasks, settings, template)
    if torch.accelerator.is_available():
        network: Any = model.model
        network.to(torch.accelerator.current_accelerator())
    prompts = {problem.task_id: prompt_for(problem, request.template, model) for problem in tasks.problems}
    rows = _earlier_samples(files, request, prompts)
    wanted = [(problem.task_id, sample) for problem in tasks.problems for sample in range(settings.samples)]
    stops = benchmarks.STOPS if settings.form == "complete" else ()
    missing = [
        Request(index, prompts[problem.task_id], stops, sample)
        for index, problem in enumerate(tasks.problems)
        for sample in range(settings.samples)
        if (problem.task_id, sample) not in rows
    ]
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.seed, settings.batch_size)
    write_model(files.request, request)
    for number, done in enumerate(generator_for(model).generate(missing, sampling), len(wanted) - len(missing) + 1):
        problem = tasks.problems[done.index]
        prompt = prompts[problem.task_id]
        text, tokens = text_with_special_tokens(done, prompt, stops, model)
        row = SampleRow(
            task_id=problem.task_id,
            sample=done.sample,
            prompt=prompt,
            completion=text,
            solution=benchmarks.program_source(
                problem, text, finish=done.finish.value, prompt=prompt, special_tokens=tokens
            ),
            finish=done.finish.value,
            tokens=done.tokens,
            prompt_form=settings.form,
        )
        rows[row.key] = row
        append_row(files.unfinished_samples, row)
        watch.count("generated", number, len(wanted))
    _finish(files, rows, wanted)
    return request


def text_with_special_tokens(
    done: Completion, prompt: str, stops: tuple[str, ...], model: Loaded
) -> tuple[str, list[str]]:
    """The text with the special tokens in it, if the model wrote any before its end token, and these tokens.

    Without them, the marks of thoughts, channels and further turns would be missing from the text. As in generation,
    the text is decoded after its prompt: some decoders drop the blank that a text begins with.
    """
    from codedistill.data.encode import encode_prompt

    tokenizer = model.tokenizer
    special = {id: str(token) for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    made = list(done.ids[:-1] if done.finish == "eos" else done.ids)
    if special.keys().isdisjoint(made):
        return done.text, []

    def decoded(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    before = list(encode_prompt(prompt, tokenizer))
    head, whole = decoded(before), decoded([*before, *made])
    text = whole[len(head) :] if whole.startswith(head) else decoded(made)
    ends = [at for stop in stops if (at := text.find(stop)) >= 0] if done.finish == "stop" else []
    return text[: min(ends, default=None)], [special[id] for id in special.keys() & set(made)]


def describe_request(
    spec: ModelSpec, model: Loaded, tasks: benchmarks.Benchmark, settings: Evaluation, template: str | None
) -> SamplesRequest:
    """All that a model's completions depend on.

    Raises:
        UserError: the template does not exist.
    """
    from codedistill.models.saved_template import saved_template
    from codedistill.prompts import TEMPLATES

    by_form: dict[str, str | None] = {"complete": None, "chat": "chat"}
    chosen = by_form.get(settings.form, template or saved_template(spec) or "alpaca")
    if chosen is not None and chosen not in TEMPLATES:
        raise UserError(f"template {chosen}: does not exist; known: {', '.join(TEMPLATES)}")
    return SamplesRequest(
        model=str(spec),
        keep_layers=spec.keep_layers,
        template=chosen,
        **settings.model_dump(include={"form", "samples", "temperature", "seed", "max_new_tokens"}),
        parameters=model.parameters,
        weights=model.fingerprint(),
        benchmark=tasks.sha256,
    )


def prompt_for(problem: benchmarks.Problem, template: str | None, model: Loaded) -> str:
    """The prompt for a problem: an instruction in a template, or, without a template, code to continue."""
    from codedistill.prompts import TEMPLATES

    if template is None:
        return problem.prompt
    if template == "chat" and not model.tokenizer.chat_template:
        raise UserError(f"model {model.name}: its tokenizer has no chat template; use form=instruct, template alpaca")
    instruction, code = benchmarks.instruction_of(problem)
    chosen = TEMPLATES[template]
    chosen.check(model.tokenizer)
    return chosen.render(instruction, code.strip(), model.tokenizer)


def _earlier_samples(files: EvaluationDirectory, request: SamplesRequest, prompts: dict[str, str]) -> Samples:
    """Samples of an earlier call with the same request and prompts; files of any other request are moved aside."""
    partial = files.unfinished_samples
    try:
        rows = read_rows(files.samples, SampleRow) if files.samples.exists() else []
        rows += [load(SampleRow, row, str(partial)) for row in read_unfinished(partial)]
        if (
            files.request.exists()
            and read_model(files.request, SamplesRequest) == request
            and all(row.prompt == prompts.get(row.task_id, row.prompt) for row in rows)
        ):
            return {row.key: row for row in rows}
    except UserError:  # edited, or written by another version
        pass
    moved = set_aside((files.samples, partial, files.request, *files.verdicts))
    if moved is not None:
        log.warning("%s: moved the samples of another request to %s", files.path, moved)
    return {}


def _finish(files: EvaluationDirectory, rows: Samples, wanted: list[tuple[str, int]]) -> None:
    """Write the wanted rows to samples.jsonl; the partial file keeps the others.

    The partial file has all rows before samples.jsonl is written, so that no interruption loses one.
    """
    chosen = [rows[key] for key in wanted]
    others = [rows[key] for key in rows.keys() - set(wanted)]
    before = read_rows(files.samples, SampleRow) if files.samples.exists() else None
    if before != chosen:
        if before is not None:  # the verdicts are on those samples
            set_aside(files.verdicts)
        write_rows(files.unfinished_samples, rows.values())
        write_rows(files.samples, chosen)
    if others:
        write_rows(files.unfinished_samples, others)
    else:
        files.unfinished_samples.unlink(missing_ok=True)
