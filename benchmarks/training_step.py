"""Where an optimiser step's time goes, what each method costs beside KD, and how far the step is from its floor.

    python benchmarks/training_step.py tiny small-49k small-152k --methods sft kd rkd akd

Every method runs in a process of its own, on the same random batch, with random weights for the pairs that are not
embedded; one step warms up, the median of the others counts, of the fastest round. Peak memory is the process's whole
peak resident set, the median of all rounds: what the allocator keeps makes it vary by some percent.
The floor is the time that this machine needs for the matrix products alone: teacher forward, student forward and
backward, both heads on the response rows, at the rate measured for a large product in the same process.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from resident import peak_megabytes


@dataclass(frozen=True)
class Size:
    """A Llama-like model."""

    hidden: int
    intermediate: int
    layers: int
    heads: int


@dataclass(frozen=True)
class Pair:
    """Teacher and student, and the batch that they see: `length` tokens an example, the last `response` counting."""

    teacher: Size
    student: Size
    vocabulary: int
    batch: int
    length: int
    response: int


PAIRS = {
    "tiny": Pair(Size(192, 512, 5, 4), Size(96, 192, 5, 3), 1024, batch=32, length=160, response=45),
    "small-49k": Pair(Size(768, 2048, 12, 12), Size(512, 1376, 8, 8), 49_152, batch=4, length=256, response=128),
    "small-152k": Pair(Size(896, 2432, 16, 14), Size(512, 1376, 8, 8), 151_936, batch=4, length=256, response=128),
}
PHASES = ("teacher", "student forward", "loss", "backward", "optimiser")


@dataclass(frozen=True)
class Measured:
    """Median seconds of a step and of its phases, peak resident megabytes, and the floor in seconds."""

    seconds: float
    phases: dict[str, float]
    megabytes: float
    floor: float
    parameters: tuple[int, int]


class Clock:
    """Seconds by phase of one step; phases may be nested in others, whose time they are taken from."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._inner: list[float] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        self._inner.append(0.0)
        yield
        spent = time.perf_counter() - start
        self.seconds[name] += spent - self._inner.pop()
        if self._inner:
            self._inner[-1] += spent


def build(size: Size, vocabulary: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=size.hidden,
        intermediate_size=size.intermediate,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
    )
    return LlamaForCausalLM(config)


def measure(pair: Pair, method_name: str, steps: int, threads: int) -> Measured:
    """Steps of one method in this process."""
    from codedistill.config import Recipe
    from codedistill.data import Encoded, collate
    from codedistill.methods import build_method
    from codedistill.methods.base import Ingredients
    from codedistill.models.heads import HiddenStates
    from codedistill.teachers import LiveTeacher

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    recipe = Recipe.model_validate({"teacher": "tiny/teacher", "student": "tiny/student", "method": method_name})
    student = build(pair.student, pair.vocabulary).train()
    teacher_model = build(pair.teacher, pair.vocabulary) if method_name != "sft" else None
    clock = Clock()
    states = _timed(clock, "student forward", HiddenStates(student))
    teacher = None
    if teacher_model is not None:
        teacher = LiveTeacher(teacher_model)
        teacher.signal = _timed(clock, "teacher", teacher.signal)  # type: ignore[method-assign]
    given: Any = Ingredients(recipe, None, student, states, teacher, None, pair.vocabulary)  # type: ignore[arg-type]
    method = build_method(given)
    ids = torch.randint(3, pair.vocabulary, (pair.batch, pair.length)).tolist()
    batch = collate([Encoded(i, tuple(row), pair.length - pair.response) for i, row in enumerate(ids)], pad_id=0)
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-4)
    method.start_epoch(0)
    taken: list[dict[str, float]] = []
    for _ in range(steps + 1):
        clock.seconds = dict.fromkeys(PHASES, 0.0)
        with clock.phase("loss"):
            part = method.loss(batch)
        with clock.phase("backward"):
            part.loss.backward()
        with clock.phase("optimiser"):
            torch._foreach_div_([p.grad for p in student.parameters()], part.count)
            torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        taken.append(clock.seconds)
    counted = taken[1:]
    phases = {name: statistics.median(step[name] for step in counted) for name in PHASES}
    seconds = statistics.median(sum(step.values()) for step in counted)
    peak = peak_megabytes()
    models = [m for m in (teacher_model, student) if m is not None]
    sizes = tuple(sum(p.numel() for p in m.parameters()) for m in models)
    return Measured(seconds, phases, peak, floor(pair, method_name), sizes)  # type: ignore[arg-type]


def _timed(clock: Clock, phase: str, call: Any) -> Any:
    def timed(*arguments: Any) -> Any:
        with clock.phase(phase):
            return call(*arguments)

    return timed


def floor(pair: Pair, method_name: str) -> float:
    """Seconds for the matrix products that a step cannot avoid."""
    tokens, rows = pair.batch * pair.length, pair.batch * pair.response

    def products(size: Size) -> tuple[float, float]:
        """Multiply-adds of one forward pass: through the layers, and through the head."""
        layer = 4 * size.hidden**2 + 3 * size.hidden * size.intermediate
        attention = 2 * pair.length * size.hidden / 2  # causal: half of the pairs
        return size.layers * (layer + attention) * tokens, size.hidden * pair.vocabulary * rows

    layers, head = products(pair.student)
    total = 3 * (layers + head)
    if method_name != "sft":
        total += sum(products(pair.teacher))
    return 2 * total / machine_rate()


def machine_rate() -> float:
    """Floating-point operations per second of a large matrix product, best of five."""
    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * n**3 / min(times[1:])


def in_subprocess(job: dict[str, Any]) -> Measured:
    done = subprocess.run(
        [sys.executable, __file__, "--job", json.dumps(job)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", default=["tiny"], metavar="PAIR", help=f"of {', '.join(PAIRS)}")
    parser.add_argument("--methods", nargs="+", default=["kd", "akd", "rkd", "sft"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument(
        "--rounds", type=int, default=2, help="each method runs so many times, in turn; the fastest counts"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        job = json.loads(options.job)
        found = measure(PAIRS[job["pair"]], job["method"], job["steps"], job["threads"])
        print(json.dumps(asdict(found)))
        return
    for name in options.pairs:
        report(name, options.methods, options.steps, options.rounds, options.threads)


def report(name: str, methods: list[str], steps: int, rounds: int, threads: int) -> None:
    pair = PAIRS[name]
    found: dict[str, list[Measured]] = {method: [] for method in methods}
    for _ in range(rounds):
        for method in methods:
            found[method].append(in_subprocess({"pair": name, "method": method, "steps": steps, "threads": threads}))
    best = {
        method: replace(
            min(runs, key=lambda run: run.seconds), megabytes=statistics.median(run.megabytes for run in runs)
        )
        for method, runs in found.items()
    }
    base = best.get("kd", next(iter(best.values())))
    sizes = [f"{n / 1e6:.1f} M" for n in base.parameters]
    print(
        f"\n{name}: teacher and student {', '.join(sizes)}, vocabulary {pair.vocabulary}, batch {pair.batch} x"
        f" {pair.length} tokens, {pair.response} of them response; {threads} threads, float32"
    )
    print(f"{'method':8}{'ms':>8}{'to kd':>7}{'MB':>8}{'to kd':>7}{'floor':>7}  " + "".join(f"{p:>17}" for p in PHASES))
    for method, run in best.items():
        shares = "".join(f"{run.phases[p] * 1000:11.0f} ms {run.phases[p] / run.seconds:3.0%}" for p in PHASES)
        print(
            f"{method:8}{run.seconds * 1000:8.0f}{run.seconds / base.seconds:7.3f}{run.megabytes:8.0f}"
            f"{run.megabytes / base.megabytes:7.3f}{run.floor / run.seconds:7.2f}  {shares}"
            f"  memory {', '.join(f'{each.megabytes:.0f}' for each in found[method])}",
            flush=True,
        )


if __name__ == "__main__":
    main()
