"""Time and extra peak memory of the fused distillation loss against plain autograd and other libraries, on the CPU.

    python benchmarks/fused_loss.py --rows 2048 --hidden 896 1536 --vocab 151936

Every variant runs once, forward and backward, in a process of its own: half of the rows are masked, both heads and all
hidden states are float32, and the student's head is trained. What is compiled runs twice, and the second time counts.
Extra memory is the peak resident set above what was resident before, so the inputs are not in it, but the gradients
are. Ratios are to plain autograd; on a busy machine, compare the processor's seconds with --threads 1. trl and
liger-kernel are measured where they are installed; --rival-python names another interpreter that has them.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from resident import peak_megabytes, reset_peak, resident_megabytes

SOURCE = Path(__file__).resolve().parents[1] / "src"


@dataclass(frozen=True)
class Shape:
    rows: int
    student_hidden: int
    teacher_hidden: int
    vocabulary: int
    threads: int


@dataclass(frozen=True)
class Measured:
    seconds: float
    cpu_seconds: float
    megabytes: float
    loss: float
    gradient_norm: float


class Inputs:
    """Random inputs whose logits have a standard deviation of about 2. Every second row is masked."""

    def __init__(self, shape: Shape) -> None:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(shape.threads)
        self.student_hidden = torch.randn(shape.rows, shape.student_hidden, requires_grad=True)
        self.teacher_hidden = torch.randn(shape.rows, shape.teacher_hidden)
        # Scaled in place: a temporary of this size would hide in the baseline of the peak.
        self.student_weight = torch.randn(shape.vocabulary, shape.student_hidden).mul_(2 * shape.student_hidden**-0.5)
        self.teacher_weight = torch.randn(shape.vocabulary, shape.teacher_hidden).mul_(2 * shape.teacher_hidden**-0.5)
        self.student_weight.requires_grad_()
        self.mask = torch.arange(shape.rows) % 2 == 0
        self.row_weights = self.mask.float() / self.mask.sum()


def fused(given: Inputs, beta: float) -> Any:
    from codedistill.losses import Head, Hidden, Objective, fused_divergence

    student, teacher = Head(given.student_weight), Head(given.teacher_weight)
    signal, objective = Hidden(given.teacher_hidden, teacher), Objective(beta=beta)
    return fused_divergence(given.student_hidden, student, signal, given.row_weights, objective).loss


def plain(given: Inputs, beta: float) -> Any:
    import torch

    log_q = (given.student_hidden @ given.student_weight.T).log_softmax(-1)
    log_p = (given.teacher_hidden @ given.teacher_weight.T).log_softmax(-1)
    divergence = torch.nn.functional.kl_div
    # Only what beta calls for, so that plain KD is not charged for the reverse KL.
    values = torch.zeros(())
    if beta < 1.0:
        values = values + (1.0 - beta) * divergence(log_q, log_p, log_target=True, reduction="none").sum(-1)
    if beta > 0.0:
        values = values + beta * divergence(log_p, log_q, log_target=True, reduction="none").sum(-1)
    return (given.row_weights * values).sum()


def trl_chunked(given: Inputs, beta: float) -> Any:
    loss = importlib.import_module("trl.trainer.distillation_trainer")._chunked_divergence_loss
    hidden = (given.student_hidden[None], given.teacher_hidden[None])
    return loss(*hidden, given.student_weight, given.teacher_weight, given.mask[None], beta)[0]


def trl_chunked_rows_gathered(given: Inputs, beta: float) -> Any:
    function = importlib.import_module("trl.kernels.chunked_divergence").ChunkedDivergenceFunction
    hidden = (given.student_hidden[given.mask], given.teacher_hidden[given.mask])
    values, _ = function.apply(hidden[0], given.student_weight, None, hidden[1], given.teacher_weight, None, beta)
    return values.mean()


def liger_chunked(given: Inputs, beta: float, compiled: bool = False) -> Any:
    import torch

    module = importlib.import_module("liger_kernel.chunked_loss").LigerFusedLinearJSDLoss
    labels = torch.where(given.mask, 0, -100)
    loss = module(weight_hard_loss=0.0, weight_soft_loss=1.0, beta=beta, compiled=compiled)
    return loss(given.student_hidden, given.student_weight, given.teacher_hidden, given.teacher_weight, labels)


def liger_triton(given: Inputs, beta: float) -> Any:
    import torch

    module = importlib.import_module("liger_kernel.transformers.fused_linear_jsd").LigerFusedLinearJSD
    labels = torch.where(given.mask, 0, -100)
    hidden = (given.student_hidden, given.teacher_hidden)
    return module(jsd_beta=beta)(hidden[0], given.student_weight, hidden[1], given.teacher_weight, labels)


@dataclass(frozen=True)
class Variant:
    """`library`: what it needs. `betas`: between 0 and 1 the rivals' beta means another divergence (JSD)."""

    loss: Callable[[Inputs, float], Any]
    library: str | None = None
    betas: tuple[float, ...] = (0.0, 0.3, 1.0)
    compiled: bool = False


ENDS = (0.0, 1.0)
PLAIN = "plain autograd, full logits"
VARIANTS = {
    PLAIN: Variant(plain),
    "codedistill, fused": Variant(fused),
    "trl, chunked": Variant(trl_chunked, "trl", ENDS),
    "trl, chunked, rows gathered": Variant(trl_chunked_rows_gathered, "trl", ENDS),
    "liger, chunked, not compiled": Variant(liger_chunked, "liger_kernel", ENDS),
    "liger, chunked, compiled": Variant(partial(liger_chunked, compiled=True), "liger_kernel", ENDS, compiled=True),
    "liger, Triton kernel": Variant(liger_triton, "liger_kernel", ENDS),
}
"""The base of the ratios comes first."""


def measure(name: str, beta: float, shape: Shape) -> Measured:
    """One forward and backward in this process."""
    variant = VARIANTS[name]
    small = Shape(8, 8, 8, 32, shape.threads)
    variant.loss(Inputs(small), beta).backward()  # imports and thread pools
    given = Inputs(shape)
    if variant.compiled:
        variant.loss(given, beta).backward()
        given.student_hidden.grad = given.student_weight.grad = None
    reset_peak()
    before = resident_megabytes()
    start, cpu_start = time.perf_counter(), time.process_time()
    loss = variant.loss(given, beta)
    loss.backward()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    extra = peak_megabytes() - before
    assert given.student_weight.grad is not None
    norm = float(given.student_weight.grad.norm())
    return Measured(seconds, cpu_seconds, extra, float(loss.detach()), norm)


def in_subprocess(name: str, beta: float, shape: Shape, python: str) -> Measured | str:
    """A measurement in a fresh process, or the last line of what went wrong."""
    job = json.dumps({"name": name, "beta": beta, "shape": asdict(shape)})
    path = os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [python, __file__, "--job", job], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode == 0:
        return Measured(**json.loads(lines[-1]))
    return lines[-1][:100] if lines else f"ended with code {done.returncode}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2048)
    parser.add_argument("--hidden", type=int, nargs=2, default=(896, 1536), metavar=("STUDENT", "TEACHER"))
    parser.add_argument("--vocab", type=int, default=151_936)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--betas", type=float, nargs="+", default=(0.0, 0.3, 1.0))
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=VARIANTS, metavar="NAME")
    parser.add_argument("--rival-python", default=sys.executable, help="interpreter that has trl and liger-kernel")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = json.loads(options.job)
        print(json.dumps(asdict(measure(job["name"], job["beta"], Shape(**job["shape"])))))
        return
    shape = Shape(options.rows, options.hidden[0], options.hidden[1], options.vocab, options.threads)
    print(f"{shape}; half of the rows masked, float32, forward and backward, one run each")
    heads = f"{'seconds':>8} {'CPU s':>7} {'extra MB':>9} {'time':>6} {'CPU':>6} {'memory':>6}"
    print(f"{'variant':30} {'beta':>4} {heads}  loss, |d weight|")
    for beta in options.betas:
        base: Measured | str = "not measured"
        for name in options.variants:
            variant = VARIANTS[name]
            if beta not in variant.betas and variant.library is not None:
                continue
            python = sys.executable if variant.library is None else options.rival_python
            found = in_subprocess(name, beta, shape, python)
            base = found if name == PLAIN else base
            print(row(name, beta, found, base), flush=True)


def row(name: str, beta: float, found: Measured | str, base: Measured | str) -> str:
    if isinstance(found, str):
        return f"{name:30} {beta:4.1f} cannot run here: {found}"
    ratios = f"{'-':>6} {'-':>6} {'-':>6}"
    if isinstance(base, Measured):
        ratios = f"{found.seconds / base.seconds:6.2f} {found.cpu_seconds / base.cpu_seconds:6.2f}"
        ratios += f" {found.megabytes / base.megabytes:6.2f}"
    numbers = f"{found.seconds:8.2f} {found.cpu_seconds:7.2f} {found.megabytes:9.0f} {ratios}"
    return f"{name:30} {beta:4.1f} {numbers}  {found.loss:.6f}, {found.gradient_norm:.6f}"


if __name__ == "__main__":
    main()
