"""The loop that all methods share.

One optimizer step: micro-batches add up sums and counts; gradients are divided once by the count of all micro-batches
and processes, checked, clipped and applied; then the method sees the step's means (this is how beta moves).
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

from accelerate.utils import set_seed

from codedistill.errors import CodedistillError, memory_for
from codedistill.methods import METHODS
from codedistill.methods.base import RewriteContext
from codedistill.parallel import launch
from codedistill.recipe.model import Recipe
from codedistill.runs.directory import RunDirectory
from codedistill.runs.environment import describe_environment, peak_memory_mb
from codedistill.runs.files import append_row, read_unfinished, write_json, write_jsonl
from codedistill.runs.schema import StepMetrics
from codedistill.training.checkpoint import (
    TrainState,
    check_same_inputs,
    check_same_recipe,
    load_weights,
    newest_checkpoint,
    random_states,
    read_state,
    restore_random_states,
    save_checkpoint,
)
from codedistill.training.save import save_student
from codedistill.training.setup import Setup, prepare
from codedistill.training.step import accumulate, find_fault, learning_rate

log = logging.getLogger(__name__)


class Interrupted(CodedistillError):
    """Ctrl-C or SIGTERM; a checkpoint has been saved. Raised in all processes at the same step."""

    exit_code = 130
    everywhere = True


class NotFinite(CodedistillError):
    """A loss or gradient is infinite or NaN. Raised in all processes at the same step; nothing of it is applied."""

    everywhere = True


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training run.

    model: the student's folder. examples: all examples of the data, of which `cut` were truncated to data.max_length,
    `dropped` were not used, and `unfinished` have a response that the teacher did not finish. template: for the
    evaluation of all models of the run. peak_memory_mb: of the process so far, see
    `environment.peak_memory_mb`.
    """

    model: Path
    steps: int
    examples: int
    cut: int
    dropped: int
    unfinished: int
    template: str
    peak_memory_mb: float


def train(
    recipe: Recipe,
    directory: RunDirectory,
    on_step: Callable[[StepMetrics, int], None] | None = None,
    on_count: Callable[[int, int], None] | None = None,
) -> TrainingResult:
    """Train the recipe's student into `directory`. The caller holds the directory's lock.

    on_step: called with the metrics of each step and the total number of steps. on_count: called with (done, total)
    while responses are written before training.

    Raises:
        UserError: something in the recipe, the models or the data is wrong, or the disk is full.
        Interrupted: stopped by a signal; a checkpoint has been saved.
        NotFinite: a loss or gradient is not finite; nothing of that step was applied.
    """
    accelerator, processes = launch()
    first = processes.index == 0
    set_seed(recipe.training.seed)
    newest = newest_checkpoint(directory.checkpoints) if recipe.resume == "auto" else None
    state = None
    count = on_count or (lambda done, total: None)
    context = RewriteContext(directory.path, accelerator.device, processes, count, resuming=newest is not None)
    with memory_for("both models", "teacher.dtype", "student.dtype", *_writing_keys(recipe)):
        if newest is not None:
            state = read_state(newest)
            check_same_recipe(state, recipe.dump(), processes.count, newest)
        setup = prepare(recipe, accelerator, context)
        if newest is not None and state is not None:
            check_same_inputs(state, setup.fingerprints, recipe, newest)
            load_weights(newest, setup.student.model)
            setup.optimizer.load_state_dict(state.optimizer)
            setup.method.load_state_dict(state.method)
            restore_random_states(state.random[processes.index])
    done = 0 if state is None else state.step
    if first:
        write_json(directory.environment, describe_environment(setup.fingerprints))
        _cut_metrics(directory.metrics, done)
    with _stop_signal() as caught:
        for metrics in _steps(recipe, setup, done, directory):
            if first:
                append_row(directory.metrics, metrics)
            if first and on_step is not None:
                on_step(metrics, setup.steps)
            stopped = processes.any(caught(), setup.device)
            if stopped or metrics.step % recipe.training.checkpoint_every == 0 or metrics.step == setup.steps:
                state = TrainState(
                    step=metrics.step,
                    recipe=recipe.dump(),
                    fingerprints=setup.fingerprints,
                    method=setup.method.state_dict(),
                    optimizer=setup.optimizer.state_dict(),
                    random=processes.gather([random_states()]),
                )
                if first:
                    keep = recipe.training.keep_checkpoints
                    save_checkpoint(directory.checkpoints, setup.student.model, state, keep)
                processes.wait()
            if metrics.step == setup.steps:  # no later step would notice a signal that came while this one was saved
                stopped = processes.any(caught(), setup.device)
            if stopped:  # even after the last step: the caller wants nothing more to happen
                raise Interrupted(
                    f"stopped after step {metrics.step} of {setup.steps}; checkpoint saved in {directory.checkpoints}"
                )
    report = setup.report
    if first:
        save_student(recipe, setup.student, setup.template, report.template, directory)
    processes.wait()
    return TrainingResult(
        model=directory.model,
        steps=setup.steps,
        examples=report.examples,
        cut=report.cut,
        dropped=report.dropped,
        unfinished=report.unfinished,
        template=setup.evaluation_template,
        peak_memory_mb=peak_memory_mb(),
    )


def _writing_keys(recipe: Recipe) -> list[str]:
    """The key for how many responses the recipe's method writes at once, if it writes any."""
    settings = METHODS[recipe.method].settings
    has = settings is not None and "batch_size" in settings.model_fields
    return [f"{recipe.method}.batch_size"] if has else []


def _steps(recipe: Recipe, setup: Setup, done: int, directory: RunDirectory) -> Iterator[StepMetrics]:
    """Every optimizer step from `done` on, as it is finished."""
    method, training, processes, optimizer = setup.method, recipe.training, setup.processes, setup.optimizer
    model, pad_id = setup.student.model, setup.student.loaded.tokenizer.pad_token_id
    last_epoch = (done - 1) // (len(setup.plan) * method.updates) if done else -1
    for step, (epoch, indices) in zip(range(done, setup.steps), _batches(setup, done), strict=False):
        start = time.perf_counter()
        if epoch != last_epoch:
            method.start_epoch(epoch)
            last_epoch = epoch
        rate = learning_rate(training, step, setup.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with memory_for(f"step {step + 1}", "training.micro_batch_size", "loss.chunk_rows", *_writing_keys(recipe)):
            own = method.start_step(step, [setup.examples[i] for i in processes.own(indices)])
            own = sorted(own, key=lambda example: len(example.ids))
            sums = accumulate(method, own, training.micro_batch_size, pad_id, setup.device)
            totals = sums.totals(processes)
            processes.divide_gradients(model, totals.count)
            norm = processes.clip_gradients(model, training.max_grad_norm)
            if fault := find_fault(method, totals.statistics, norm, sums, processes):
                raise NotFinite(_not_finite(step, fault, recipe, directory))
            optimizer.step()
            optimizer.zero_grad()
        columns = dict.fromkeys(("forward_kl", "reverse_kl", "beta", "beta_loss")) | method.after_step(
            totals.statistics
        )
        yield StepMetrics(
            step=step + 1,
            epoch=epoch,
            loss=totals.statistics.loss,
            lr=rate,
            grad_norm=norm,
            tokens=totals.tokens,
            padding=totals.padding,
            seconds=time.perf_counter() - start,
            **columns,
        )


def _batches(setup: Setup, done: int) -> Iterator[tuple[int, list[int]]]:
    """(epoch, indices) of every step from `done` on; a method may take several steps on one batch."""
    updates = setup.method.updates
    for number, batch in enumerate(setup.plan.start_at(done // updates)):
        yield from repeat(batch, updates - (done % updates if number == 0 else 0))


def _not_finite(step: int, fault: str, recipe: Recipe, directory: RunDirectory) -> str:
    method, newest = recipe.method, newest_checkpoint(directory.checkpoints)
    if recipe.asks_teacher and recipe.divergence not in (None, method):
        method += f" with {recipe.divergence}"
    kept = f"the last checkpoint, {newest.name}, is complete" if newest else "no checkpoint was written before"
    return (
        f"step {step + 1}, method {method}: {fault}; nothing of this step was applied, {kept}; "
        "lower training.learning_rate or check these examples"
    )


def _cut_metrics(path: Path, done: int) -> None:
    """Leave the first `done` steps in metrics.jsonl: a killed run may have written more. Say if it has fewer."""
    rows = [row for row in read_unfinished(path) if row.get("step") in range(1, done + 1)] if done else []
    if len(rows) < done:
        log.warning(
            "%s: %d of the %d steps before the checkpoint are missing; the curves have a gap there",
            path,
            done - len(rows),
            done,
        )
    write_jsonl(path, rows)


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a flag that is checked between steps; the second one stops at once."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: signals are the caller's business
        before = {}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
