"""From a recipe to everything that the loop needs."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pkgutil import resolve_name
from typing import Any

import torch
from accelerate import Accelerator

from codedistill.data import BatchPlan, Encoded, EncodingReport, encode_examples, load_examples
from codedistill.data.encode import fingerprint
from codedistill.errors import UserError
from codedistill.methods import METHODS, build_method
from codedistill.methods.base import Method, MethodContext, RewriteContext, Rewritten, Student
from codedistill.methods.settings import Seqkd
from codedistill.models import Loaded, load_model, own_vocabulary, shared_vocabulary, verify_saved
from codedistill.models.config import set_end_tokens
from codedistill.models.heads import HiddenStates, check_head
from codedistill.models.loading import load_tokenizer
from codedistill.models.lora import add_adapters
from codedistill.parallel import Processes
from codedistill.prompts import TEMPLATES
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import ModelSpec
from codedistill.teachers import LiveTeacher
from codedistill.training.save import is_compared
from codedistill.training.switches import check_switches, compile_decoder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setup:
    """One training run.

    fingerprints: SHA-256 of the token ids that are trained on, of the student's vocabulary, and of both models as they
    were loaded from their folders. template: for prompts as in the student's training. evaluation_template: for all
    models of a run.
    """

    student: Student
    optimizer: Any
    method: Method
    examples: list[Encoded]
    report: EncodingReport
    plan: BatchPlan
    steps: int
    processes: Processes
    device: torch.device
    fingerprints: dict[str, str]
    template: str
    evaluation_template: str


def prepare(recipe: Recipe, accelerator: Accelerator, context: RewriteContext) -> Setup:
    """Load models and data, build the method. Checks come first, slow work last.

    context: for a method that rewrites the examples before training.

    Raises:
        UserError: a switch that cannot work here, or something is wrong with the data or the models.
    """
    check_switches(recipe, accelerator)
    entry, training, processes = METHODS[recipe.method], recipe.training, context.processes
    examples = load_examples(recipe.data.source, recipe.data.limit, strict=recipe.data.strict)
    loaded = _load(recipe.student, "student")
    template = TEMPLATES[recipe.instructions_template]
    encoded, report = encode_examples(examples, template, loaded.tokenizer, recipe.data.max_length, recipe.data.turns)
    set_end_tokens(loaded.model, report.ends)
    if processes.index == 0 and not context.resuming and is_compared(recipe.student, loaded.model):
        with torch.random.fork_rng(devices=[]):  # the comparison must not move the run's random numbers
            verify_saved(loaded.model, loaded.tokenizer, f"student {loaded.name}")
    teacher = _load(recipe.teacher, "teacher") if entry.teacher and recipe.teacher else None
    fingerprints = {"student": loaded.fingerprint()} if recipe.student.path is not None else {}
    if teacher is not None:
        fingerprints["teacher"] = teacher.fingerprint()
    compared = teacher if recipe.asks_teacher else None  # the losses need it
    vocabulary = own_vocabulary(loaded) if compared is None else shared_vocabulary(compared, loaded)
    for key, model in (("student", loaded), ("teacher", compared)):
        if model is not None:
            _check_lengths(encoded, model, key)
    student, optimizer = _student(recipe, loaded, vocabulary, accelerator)
    if entry.rewrite is not None and teacher is not None:
        kept = {example.id for example in encoded}
        rewrite = resolve_name(entry.rewrite)
        written = rewrite(recipe, [example for example in examples if example.id in kept], teacher, context)
        encoded, report = encode_rewritten(recipe, written, loaded, report)
    # Rows may bring prompts as plain text; the recipe's template is then the user's word on their form.
    student_template = evaluation_template = recipe.template or report.template
    if report.template == "chat":
        student_template = "chat"
        if recipe.teacher is None or load_tokenizer(recipe.teacher, "teacher").chat_template:
            evaluation_template = "chat"  # otherwise the teacher could not answer
    if processes.index == 0:
        _warn_about_data(recipe, report, evaluation_template)
    live = None
    if compared is not None:
        compared.model.to(context.device)  # type: ignore[arg-type]  # transformers types `to` as a decorated function
        live = LiveTeacher(compared)
        if training.compile:
            compile_decoder(compared.model)
    method = build_method(MethodContext(recipe, student, live, processes))
    if training.precision == "bfloat16":
        # Matrix products alone: weights, their gradients, softmax and sums keep their type.
        autocast = torch.autocast(context.device.type, dtype=torch.bfloat16)
        method.loss = autocast(method.loss)  # type: ignore[method-assign]
        method.start_step = autocast(method.start_step)  # type: ignore[method-assign]
    lengths = tuple(len(example.ids) for example in encoded)
    plan = BatchPlan(lengths, training.batch_size * processes.count, training.seed)
    tokens = sorted(loaded.tokenizer.get_vocab().items())
    return Setup(
        student=student,
        optimizer=optimizer,
        method=method,
        examples=encoded,
        report=report,
        plan=plan,
        steps=training.steps or (training.epochs or 1) * len(plan) * method.updates,
        processes=processes,
        device=context.device,
        fingerprints={
            **fingerprints,
            "data": fingerprint(encoded),  # covers data, template, tokenizer and length limit
            "tokenizer": hashlib.sha256(repr(tokens).encode()).hexdigest(),
        },
        template=student_template,
        evaluation_template=evaluation_template,
    )


def _load(spec: ModelSpec, key: str) -> Loaded:
    loaded = load_model(spec, key)
    check_head(loaded.model, f"{key} {loaded.name}")
    return loaded


def _check_lengths(encoded: list[Encoded], model: Loaded, key: str) -> None:
    """Raises UserError for examples longer than the model's table of positions."""
    most = model.positions
    longest = max(len(example.ids) for example in encoded)
    if most is not None and longest > most:
        raise UserError(
            f"data.max_length: an example has {longest} tokens, {key} {model.name} takes {most}; "
            f"set data.max_length={most}"
        )


def _student(recipe: Recipe, loaded: Loaded, vocabulary: int, accelerator: Accelerator) -> tuple[Student, Any]:
    """The student on its device, and its optimizer."""
    training = recipe.training
    model: Any = loaded.model
    if recipe.lora is not None:
        model = add_adapters(model, recipe.lora)
    if training.gradient_checkpointing:
        # Older versions of transformers have the second name.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    if training.compile:
        compile_decoder(model)
    model.train()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=training.learning_rate,
        betas=training.adam_betas,
        weight_decay=training.weight_decay,
    )
    # Only for the device and mixed precision: `Processes.divide_gradients` sums the gradients of several processes.
    states = accelerator.prepare_model(HiddenStates(model), evaluation_mode=True)
    return Student(loaded, model, states, vocabulary), accelerator.prepare_optimizer(optimizer)


def encode_rewritten(
    recipe: Recipe, written: Rewritten, student: Loaded, before: EncodingReport
) -> tuple[list[Encoded], EncodingReport]:
    """Rewritten examples as token ids. An unfinished response gets no end token, so that none is learned there."""
    encoded, report = encode_examples(
        written.examples,
        TEMPLATES[recipe.instructions_template],
        student.tokenizer,
        recipe.data.max_length,
        turns="last",
        unfinished=written.unfinished,
    )
    dropped = before.dropped + report.dropped
    return encoded, replace(report, examples=before.examples, dropped=dropped, template=before.template)


def _warn_about_data(recipe: Recipe, report: EncodingReport, evaluation_template: str) -> None:
    """Log which examples are not trained on as they are."""
    limit, total = recipe.data.max_length, f"{report.examples:,}"
    if report.cut or report.dropped:
        dropped = f"; dropped {report.dropped:,} whose prompt alone is longer" if report.dropped else ""
        log.warning("data: truncated %s of %s examples to %d tokens%s", f"{report.cut:,}", total, limit, dropped)
    if report.unfinished:
        unfinished, longest = f"{report.unfinished:,}", recipe.section(Seqkd).max_new_tokens
        log.warning("seqkd: %s responses have no end: they reached seqkd.max_new_tokens=%d", unfinished, longest)
    if report.empty:
        log.warning("data: %s of %s responses are empty; the student learns to answer nothing", report.empty, total)
    if recipe.template not in (None, report.template):
        use = "used for evaluation only" if recipe.template == evaluation_template else "not used for most rows"
        what = "are chats in the model's own template" if report.template == "chat" else "have their own prompts"
        log.warning("template %s: %s; the data's rows %s", recipe.template, use, what)
