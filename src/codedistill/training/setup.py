"""From a recipe to everything the loop needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object

from codedistill.config import Recipe
from codedistill.data import BatchPlan, Encoded, EncodingReport, encode_examples, load_examples
from codedistill.data.encode import fingerprint
from codedistill.methods import METHODS, build_method
from codedistill.methods.base import Ingredients, Method, Workplace, Written
from codedistill.models import Loaded, load_model, shared_vocabulary
from codedistill.models.heads import HiddenStates
from codedistill.models.lora import add_adapters
from codedistill.prompts import TEMPLATES
from codedistill.run_directory import RunDirectory
from codedistill.teachers import LiveTeacher
from codedistill.training.switches import Narrow, check_switches, compile_decoders


@dataclass(frozen=True)
class Student:
    """The model that learns: `model` as loaded or with adapters, `states` as the loop calls it."""

    loaded: Loaded
    model: Any
    states: Any
    optimizer: Any


@dataclass(frozen=True)
class Setup:
    """What one training run consists of."""

    student: Student
    method: Method
    examples: list[Encoded]
    report: EncodingReport
    plan: BatchPlan
    steps: int
    fingerprints: dict[str, str]  # SHA-256 of what training was fed
    vocabulary: int | None


def prepare(
    recipe: Recipe, accelerator: Accelerator, directory: RunDirectory, count: Callable[[int, int], None]
) -> Setup:
    """Load models and data, build the method. What can be wrong comes first, what is slow last.

    Raises:
        UserError: a switch that cannot work here, or something wrong with data or models.
    """
    check_switches(recipe, accelerator)
    examples = load_examples(recipe.data.source, recipe.data.limit)
    loaded = load_model(recipe.student, "student")
    encoded, report = encode_examples(examples, TEMPLATES[recipe.template], loaded.tokenizer, recipe.data.max_length)
    teacher = load_model(recipe.teacher, "teacher") if METHODS[recipe.method].teacher and recipe.teacher else None
    rewrite = METHODS[recipe.method].rewrite
    if rewrite is not None and teacher is not None:
        kept = {example.id for example in encoded}
        place = Workplace(
            folder=directory.path,
            device=accelerator.device,
            part=accelerator.process_index,
            parts=accelerator.num_processes,
            gather=gather_object,
            count=count,
        )
        written = rewrite()(recipe, [example for example in examples if example.id in kept], teacher, place)
        encoded, report = _encode_written(recipe, written, loaded, report)
    student = _student(recipe, loaded, accelerator)
    method, vocabulary = _method(recipe, student, teacher, accelerator)
    training = recipe.training
    lengths = tuple(len(example.ids) for example in encoded)
    plan = BatchPlan(lengths, training.batch_size * accelerator.num_processes, training.seed)
    steps = training.steps or (training.epochs or 1) * len(plan) * method.updates
    return Setup(student, method, encoded, report, plan, steps, _fingerprints(encoded, loaded), vocabulary)


def _encode_written(
    recipe: Recipe, written: Written, student: Loaded, before: EncodingReport
) -> tuple[list[Encoded], EncodingReport]:
    """Rewritten examples as token ids. A response that its writer did not end must not teach an end there."""
    template, end = TEMPLATES[recipe.template], student.tokenizer.eos_token_id
    encoded, report = encode_examples(written.examples, template, student.tokenizer, recipe.data.max_length)
    cut = sum(example.id in written.unfinished for example in encoded)
    encoded = [
        replace(example, ids=example.ids[:-1])
        if example.id in written.unfinished and example.ids[-1] == end and example.response_length > 1
        else example
        for example in encoded
    ]
    return encoded, EncodingReport(before.examples, max(cut, report.cut), before.dropped + report.dropped)


def _method(
    recipe: Recipe, student: Student, teacher: Loaded | None, accelerator: Accelerator
) -> tuple[Method, int | None]:
    """The method, and the number of vocabulary entries that both models' heads keep."""
    vocabulary, live = None, None
    if teacher is not None and recipe.asks_teacher:
        vocabulary = shared_vocabulary(teacher, student.loaded)
        live = LiveTeacher(teacher.model.to(accelerator.device))
        if recipe.training.compile:
            compile_decoders([teacher.model])
    given = Ingredients(
        recipe=recipe,
        student=student.loaded,
        model=student.model,
        states=student.states,
        teacher=live,
        teacher_model=None if live is None else teacher,
        vocabulary=vocabulary,
        total=lambda tensor: accelerator.reduce(tensor, "sum"),
        gather=gather_object,
    )
    method = build_method(given)
    if recipe.training.precision == "bfloat16":
        method = Narrow(method, accelerator.device)
    return method, vocabulary


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
