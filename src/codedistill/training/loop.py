"""The loop that every method runs in.

One optimiser step: micro-batches add up sums and counts, gradients are divided once by the count of all micro-batches
and processes, checked, clipped, applied; then the method sees the step's means (that is how beta moves).
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from codedistill.config import Recipe
from codedistill.data import Batch, collate
from codedistill.environment import describe_environment
from codedistill.errors import CodedistillError
from codedistill.methods import LossSum, StepStatistics
from codedistill.run_directory import RunDirectory, write_json
from codedistill.training.checkpoint import (
    TrainState,
    check_same_run,
    load_checkpoint,
    newest_checkpoint,
    random_states,
    restore_random_states,
    save_checkpoint,
)
from codedistill.training.save import save_student
from codedistill.training.schedule import learning_rate
from codedistill.training.setup import Setup, prepare


class Interrupted(CodedistillError):
    """Ctrl-C or SIGTERM; a checkpoint has been saved."""

    exit_code = 130


@dataclass(frozen=True)
class StepMetrics:
    """One line of metrics.jsonl: means over the step, `tokens` response tokens, `seconds` of the step."""

    step: int
    epoch: int
    loss: float
    forward_kl: float | None
    reverse_kl: float | None
    beta: float | None
    beta_loss: float | None
    lr: float
    grad_norm: float
    tokens: int
    seconds: float


@dataclass(frozen=True)
class TrainingResult:
    """What training leaves behind."""

    model: Path
    steps: int
    examples: int
    cut: int
    dropped: int
    parameters: int


OnStep = Callable[[StepMetrics, int], None]
"""Called with each step's metrics and the number of steps in all."""


def train(recipe: Recipe, directory: RunDirectory, on_step: OnStep | None = None) -> TrainingResult:
    """Train the recipe's student into `directory`. The caller holds the directory's lock.

    Raises:
        UserError: something in the recipe, the models or the data is wrong, or the disk is full.
        Interrupted: stopped by a signal; a checkpoint has been saved.
        CodedistillError: a loss or gradient is not finite; nothing of that step was applied.
    """
    accelerator = Accelerator()
    set_seed(recipe.training.seed)
    setup = prepare(recipe, accelerator)
    done = _resume(recipe, directory, setup)
    if accelerator.is_main_process:
        write_json(directory.environment, describe_environment(setup.fingerprints))
    with _stop_signal() as stopped, _metrics_file(directory.metrics, done) as log:
        for step, metrics in _steps(recipe, setup, accelerator, done):
            if accelerator.is_main_process:
                log.write(json.dumps(asdict(metrics)) + "\n")
                log.flush()
            if on_step is not None:
                on_step(metrics, setup.steps)
            if stopped() or (step + 1) % recipe.training.checkpoint_every == 0 or step + 1 == setup.steps:
                if accelerator.is_main_process:
                    save_checkpoint(
                        directory.checkpoints,
                        setup.student.model,
                        _state(recipe, setup, step + 1),
                        recipe.training.keep_checkpoints,
                    )
                accelerator.wait_for_everyone()
            if stopped() and step + 1 < setup.steps:
                raise Interrupted(
                    f"stopped after step {step + 1} of {setup.steps}; checkpoint saved in {directory.checkpoints}"
                )
    if accelerator.is_main_process:
        save_student(recipe, setup.student, directory)
    accelerator.wait_for_everyone()
    report = setup.report
    parameters = sum(p.numel() for p in setup.student.model.parameters())
    return TrainingResult(directory.model, setup.steps, report.examples, report.cut, report.dropped, parameters)


def _resume(recipe: Recipe, directory: RunDirectory, setup: Setup) -> int:
    """Steps already done; 0 for a fresh start."""
    newest = newest_checkpoint(directory.checkpoints) if recipe.resume == "auto" else None
    if newest is None:
        return 0
    state = load_checkpoint(newest, setup.student.model)
    check_same_run(state, recipe.dump(), setup.fingerprints["data"], newest)
    setup.student.optimizer.load_state_dict(state.optimizer)
    setup.method.load_state_dict(state.method)
    restore_random_states(state.random)
    return state.step


def _state(recipe: Recipe, setup: Setup, step: int) -> TrainState:
    return TrainState(
        step=step,
        recipe=recipe.dump(),
        data_fingerprint=setup.fingerprints["data"],
        method=setup.method.state_dict(),
        optimizer=setup.student.optimizer.state_dict(),
        random=random_states(),
    )


def _steps(recipe: Recipe, setup: Setup, accelerator: Accelerator, done: int) -> Iterator[tuple[int, StepMetrics]]:
    """Every optimiser step from `done` on, as it is finished."""
    optimizer, method = setup.student.optimizer, setup.method
    last_epoch = (done - 1) // len(setup.plan) if done else -1
    for step, (epoch, indices) in zip(range(done, setup.steps), setup.plan.start_at(done), strict=False):
        start = time.perf_counter()
        if epoch != last_epoch:
            method.start_epoch(epoch)
            last_epoch = epoch
        rate = learning_rate(recipe.training, step, setup.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        total, tokens = _accumulate(recipe, setup, accelerator, indices)
        statistics = _divide(total, accelerator, setup)
        norm = _clip(setup, recipe.training.max_grad_norm)
        _check_finite(step, statistics, norm, [setup.examples[i].id for i in indices], recipe.method)
        optimizer.step()
        optimizer.zero_grad()
        extra = method.after_step(statistics)
        yield (
            step,
            StepMetrics(
                step=step + 1,
                epoch=epoch,
                loss=statistics.loss,
                forward_kl=statistics.forward_kl,
                reverse_kl=statistics.reverse_kl,
                beta=extra.get("beta"),
                beta_loss=extra.get("beta_loss"),
                lr=rate,
                grad_norm=norm,
                tokens=tokens,
                seconds=time.perf_counter() - start,
            ),
        )


def _accumulate(recipe: Recipe, setup: Setup, accelerator: Accelerator, indices: list[int]) -> tuple[LossSum, int]:
    """Backward over this process's micro-batches; the sums of losses and counts."""
    own = indices[accelerator.process_index :: accelerator.num_processes]
    size = recipe.training.micro_batch_size or len(own)
    parts, tokens = [], 0
    for start in range(0, len(own), size):
        batch = _batch(setup, own[start : start + size], accelerator)
        part = setup.method.loss(batch)
        accelerator.backward(part.loss)
        parts.append(part)
        tokens += batch.response_tokens
    return _add(parts), tokens


def _batch(setup: Setup, indices: list[int], accelerator: Accelerator) -> Batch:
    examples = [setup.examples[i] for i in indices]
    return collate(examples, setup.student.loaded.tokenizer.pad_token_id).to(accelerator.device)


def _add(parts: list[LossSum]) -> LossSum:
    def total(values: list[Any]) -> Any:
        return None if values[0] is None else torch.stack([v.detach().double() for v in values]).sum()

    return LossSum(
        total([p.loss for p in parts]),
        sum(p.count for p in parts),
        total([p.forward_kl for p in parts]),
        total([p.reverse_kl for p in parts]),
    )


def _divide(total: LossSum, accelerator: Accelerator, setup: Setup) -> StepStatistics:
    """The one division: sums over micro-batches and processes by their counts, for the gradients and the statistics."""
    values = [total.loss, total.forward_kl, total.reverse_kl]
    packed = torch.stack(
        [*(torch.zeros_like(total.loss) if v is None else v for v in values), torch.full_like(total.loss, total.count)]
    )
    loss, forward, reverse, count = accelerator.reduce(packed, "sum").tolist()
    # Distributed wrappers average gradients over processes, hence their number.
    factor = accelerator.num_processes / count
    gradients = [p.grad for p in setup.student.model.parameters() if p.grad is not None]
    torch._foreach_mul_(gradients, factor)
    return StepStatistics(
        loss / count,
        None if total.forward_kl is None else forward / count,
        None if total.reverse_kl is None else reverse / count,
    )


def _clip(setup: Setup, limit: float | None) -> float:
    parameters = [p for p in setup.student.model.parameters() if p.grad is not None]
    return torch.nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit).item()


def _check_finite(step: int, statistics: StepStatistics, norm: float, examples: list[int], method: str) -> None:
    """Stop before the optimiser sees a value that is not finite."""
    values = {
        "loss": statistics.loss,
        "forward KL": statistics.forward_kl,
        "reverse KL": statistics.reverse_kl,
        "gradient": norm,
    }
    bad = [name for name, value in values.items() if value is not None and not math.isfinite(value)]
    if bad:
        raise CodedistillError(
            f"step {step + 1}, method {method}: {', '.join(bad)} not finite on examples {examples}; nothing of this "
            "step was applied, the last checkpoint is whole; lower training.learning_rate or look at these examples"
        )


@contextmanager
def _metrics_file(path: Path, done: int) -> Iterator[TextIO]:
    """metrics.jsonl opened for appending, cut to the first `done` lines: a killed run may have written more."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[:done] if done and path.exists() else []
    with path.open("w", encoding="utf-8") as handle:
        handle.writelines(kept)
        handle.flush()
        yield handle


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a flag that is looked at between steps; the second one stops at once."""
    caught: list[int] = []

    def note(number: int, frame: object) -> None:
        if caught:
            raise KeyboardInterrupt
        caught.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: nobody can interrupt us but our caller
        before = {}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
