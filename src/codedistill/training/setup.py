"""From a recipe to everything the loop needs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from codedistill.data import Batch, BatchPlan, Encoded, EncodingReport, encode_examples, load_examples
from codedistill.data.encode import fingerprint
from codedistill.errors import UserError
from codedistill.methods import METHODS, build_method, import_named
from codedistill.methods.base import Ingredients, LossSum, Method, Rewritten, Workplace
from codedistill.models import Loaded, load_model, own_vocabulary, shared_vocabulary
from codedistill.models.heads import HiddenStates, check_head
from codedistill.models.lora import add_adapters
from codedistill.parallel import Processes
from codedistill.prompts import TEMPLATES
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import ModelSpec
from codedistill.teachers import LiveTeacher
from codedistill.training.switches import check_switches, compile_decoders, in_precision

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Student:
    """The model that learns: `model` as loaded or with adapters, `states` as the loop calls it."""

    loaded: Loaded
    model: Any
    states: Any
    optimizer: Any


@dataclass(frozen=True)
class Setup:
    """What one training run consists of. `start_step` and `loss` are the method's own, in the recipe's precision."""

    student: Student
    method: Method
    start_step: Callable[[int, list[Encoded]], list[Encoded]]
    loss: Callable[[Batch], LossSum]
    examples: list[Encoded]
    report: EncodingReport
    plan: BatchPlan
    steps: int
    processes: Processes
    fingerprints: dict[str, str]  # SHA-256 of what training was fed


def prepare(recipe: Recipe, accelerator: Accelerator, place: Workplace) -> Setup:
    """Load models and data, build the method. What can be wrong comes first, what is slow last.

    place: where a method puts what it writes before training.

    Raises:
        UserError: a switch that cannot work here, or something wrong with data or models.
    """
    check_switches(recipe, accelerator)
    entry = METHODS[recipe.method]
    examples = load_examples(recipe.data.source, recipe.data.limit)
    loaded = _load(recipe.student, "student")
    encoded, report = encode_examples(
        examples, TEMPLATES[recipe.instructions_template], loaded.tokenizer, recipe.data.max_length
    )
    teacher = _load(recipe.teacher, "teacher") if entry.teacher and recipe.teacher else None
    live = teacher if recipe.asks_teacher else None
    vocabulary = own_vocabulary(loaded) if live is None else shared_vocabulary(live, loaded)
    for key, model in (("student", loaded), ("teacher", live)):
        if model is not None:
            _check_lengths(encoded, model, key)
    student = _student(recipe, loaded, accelerator)
    if entry.rewrite is not None and teacher is not None:
        kept = {example.id for example in encoded}
        written = import_named(entry.rewrite)(
            recipe, [example for example in examples if example.id in kept], teacher, place
        )
        encoded, report = _encode_written(recipe, written, loaded, report)
    if place.processes.index == 0:
        _say(recipe, report)
    method = _method(recipe, student, live, vocabulary, place)
    training = recipe.training
    lengths = tuple(len(example.ids) for example in encoded)
    plan = BatchPlan(lengths, training.batch_size * place.processes.count, training.seed)
    steps = training.steps or (training.epochs or 1) * len(plan) * method.updates
    return Setup(
        student=student,
        method=method,
        start_step=in_precision(recipe, place.device, method.start_step),
        loss=in_precision(recipe, place.device, method.loss),
        examples=encoded,
        report=report,
        plan=plan,
        steps=steps,
        processes=place.processes,
        fingerprints=_fingerprints(encoded, loaded),
    )


def processes_of(accelerator: Accelerator) -> Processes:
    return Processes(
        index=accelerator.process_index,
        count=accelerator.num_processes,
        total=lambda tensor: accelerator.reduce(tensor, "sum"),
        gather=gather_object,
    )


def _say(recipe: Recipe, report: EncodingReport) -> None:
    """What of the data is not trained on as it is."""
    if report.cut or report.dropped:
        log.warning(
            "data.max_length %d: of %d examples %d lose their end, and %d are dropped with their whole response",
            recipe.data.max_length,
            report.examples,
            report.cut,
            report.dropped,
        )
    if report.empty:
        log.warning(
            "data: %d of %d responses are empty, the student learns to say nothing", report.empty, report.examples
        )
    if recipe.template not in (None, report.template):
        log.warning(
            "template %s: the data's rows bring their own prompts, it serves the evaluation only", recipe.template
        )


def _load(spec: ModelSpec, key: str) -> Loaded:
    loaded = load_model(spec, key)
    check_head(loaded.model, f"{key} {loaded.name}")
    return loaded


def _check_lengths(encoded: list[Encoded], model: Loaded, key: str) -> None:
    """Raises UserError for examples that are longer than the model's table of positions."""
    most = getattr(model.model.config, "max_position_embeddings", None)
    longest = max(len(example.ids) for example in encoded)
    if most is not None and longest > most:
        raise UserError(
            f"data.max_length: an example has {longest} tokens, {key} {model.name} takes {most}; "
            f"set data.max_length={most}"
        )


def _encode_written(
    recipe: Recipe, written: Rewritten, student: Loaded, before: EncodingReport
) -> tuple[list[Encoded], EncodingReport]:
    """Rewritten examples as token ids. A response that its writer did not end must not teach an end there."""
    template, end = TEMPLATES[recipe.instructions_template], student.tokenizer.eos_token_id
    encoded, report = encode_examples(written.examples, template, student.tokenizer, recipe.data.max_length)
    cut = sum(example.id in written.unfinished for example in encoded)
    encoded = [
        replace(example, ids=example.ids[:-1])
        if example.id in written.unfinished and example.ids[-1] == end and example.response_length > 1
        else example
        for example in encoded
    ]
    return encoded, replace(
        before, cut=max(cut, report.cut), dropped=before.dropped + report.dropped, empty=report.empty
    )


def _method(recipe: Recipe, student: Student, teacher: Loaded | None, vocabulary: int, place: Workplace) -> Method:
    """teacher: one that is asked while the student learns."""
    live = None
    if teacher is not None:
        model: Any = teacher.model
        live = LiveTeacher(model.to(place.device))
        if recipe.training.compile:
            compile_decoders([model])
    return build_method(
        Ingredients(
            recipe=recipe,
            student=student.loaded,
            model=student.model,
            states=student.states,
            vocabulary=vocabulary,
            teacher=live,
            teacher_model=teacher,
            processes=place.processes,
        )
    )


def _student(recipe: Recipe, loaded: Loaded, accelerator: Accelerator) -> Student:
    import torch

    model: Any = loaded.model
    if recipe.lora is not None:
        model = add_adapters(model, recipe.lora)
    if recipe.training.gradient_checkpointing:
        # The second name is what older versions of transformers call it.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if recipe.training.compile:
        compile_decoders([model])
    model.train()
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        learning,
        lr=recipe.training.learning_rate,
        betas=recipe.training.adam_betas,
        weight_decay=recipe.training.weight_decay,
    )
    # For its device and mixed precision alone: gradients of several processes are summed by the loop (step.py).
    states = accelerator.prepare_model(HiddenStates(model), evaluation_mode=True)
    optimizer = accelerator.prepare_optimizer(optimizer)
    return Student(loaded, model, states, optimizer)


def _fingerprints(encoded: list[Encoded], student: Loaded) -> dict[str, str]:
    """`data`: the token ids that training sees, in order; so it covers data, template, tokenizer and length limit."""
    vocabulary = sorted(student.tokenizer.get_vocab().items())
    return {"data": fingerprint(encoded), "tokenizer": hashlib.sha256(repr(vocabulary).encode()).hexdigest()}
