"""From a recipe to everything the loop needs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator

from codedistill.config import Recipe
from codedistill.data import BatchPlan, Encoded, EncodingReport, encode_examples, load_examples
from codedistill.methods import Method, build_method
from codedistill.models import Loaded, load_model, shared_vocabulary
from codedistill.models.heads import HiddenStates
from codedistill.models.lora import add_adapters
from codedistill.prompts import TEMPLATES
from codedistill.teachers import LiveTeacher


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


def prepare(recipe: Recipe, accelerator: Accelerator) -> Setup:
    """Load models and data, build the method. Data comes first: its faults show before anything slow happens."""
    examples = load_examples(recipe.data.source, recipe.data.limit)
    loaded = load_model(recipe.student, "student")
    encoded, report = encode_examples(examples, TEMPLATES[recipe.template], loaded.tokenizer, recipe.data.max_length)
    teacher, vocabulary = None, None
    if recipe.method != "sft" and recipe.teacher is not None:
        behind = load_model(recipe.teacher, "teacher")
        vocabulary = shared_vocabulary(behind, loaded)
        teacher = LiveTeacher(behind.model.to(accelerator.device))
    student = _student(recipe, loaded, accelerator)
    method = build_method(recipe, student.model, student.states, teacher, vocabulary)
    training = recipe.training
    lengths = tuple(len(example.ids) for example in encoded)
    plan = BatchPlan(lengths, training.batch_size * accelerator.num_processes, training.seed)
    steps = training.steps or (training.epochs or 1) * len(plan)
    return Setup(student, method, encoded, report, plan, steps, _fingerprints(encoded, loaded), vocabulary)


def _student(recipe: Recipe, loaded: Loaded, accelerator: Accelerator) -> Student:
    import torch

    model: Any = loaded.model
    if recipe.lora is not None:
        model = add_adapters(model, recipe.lora)
    if recipe.training.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        learning,
        lr=recipe.training.learning_rate,
        betas=recipe.training.adam_betas,
        weight_decay=recipe.training.weight_decay,
    )
    states, optimizer = accelerator.prepare(HiddenStates(model), optimizer)
    return Student(loaded, model, states, optimizer)


def _fingerprints(encoded: list[Encoded], student: Loaded) -> dict[str, str]:
    """`data`: the token ids that training sees, in order; so it covers data, template, tokenizer and length limit."""
    data = hashlib.sha256()
    for example in encoded:
        data.update(repr((example.prompt_length, example.ids)).encode())
    vocabulary = sorted(student.tokenizer.get_vocab().items())
    return {"data": data.hexdigest(), "tokenizer": hashlib.sha256(repr(vocabulary).encode()).hexdigest()}
