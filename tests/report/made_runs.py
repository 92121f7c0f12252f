"""Finished runs, made without a model: the files that a run leaves, with invented answers and verdicts.

The verdicts are a fixed pattern of the task's number, so that every count can be worked out by hand:
the teacher fails every 5th task, the base student passes every 3rd, the distilled student fails every 4th (or those of
`student_fails`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codedistill.api import summarize_run
from codedistill.evaluation import summarize, wilson_interval
from codedistill.recipe.load import load_recipe
from codedistill.report.load import TableRow
from codedistill.runs.directory import RunDirectory
from codedistill.runs.files import read_rows, write_json, write_jsonl, write_model, write_rows, write_yaml
from codedistill.runs.schema import EvaluationSummary, ResultRow, SampleRow, TrainingSummary

PARAMETERS = {"teacher": 2_400_000, "base": 500_000, "student": 500_000}

FINISHED = "2026-03-04T05:06:07+00:00"

FIXED_BETA = {"kd": 0.0, "rkd": 1.0}

FAILURES = [
    ("wrong answer", "AssertionError", "assert candidate([3, -4, 7]) == 10, got 6"),
    ("missing import", "NameError", "name 'math' is not defined"),
    ("unbalanced delimiters", "SyntaxError", "'(' was never closed"),
    ("out of range", "IndexError", "list index out of range"),
]


def table_row(who: str, correct: int, samples: int, categories: Mapping[str, int], **more: Any) -> TableRow:
    """A row of results with a sample for each task. Its counts obey the identities if `more` does not change them."""
    return TableRow.model_validate(summary_row(who, correct, samples, categories, **more))


def summary_row(who: str, correct: int, samples: int, categories: Mapping[str, int], **more: Any) -> dict[str, Any]:
    complete = correct + categories.get("wrong answer", 0)
    values = {"who": who, "model": f"m/{who}", "benchmark": "tiny", "tasks": samples, "samples": samples}
    values |= {"pass@1": correct / samples, "interval": list(wilson_interval(correct, samples)), "correct": correct}
    return values | {"complete": complete, "incomplete": samples - complete, "categories": dict(categories)} | more


def passes(who: str, task: int, student_fails: int) -> bool:
    return {"teacher": task % 5 != 0, "base": task % 3 == 0, "student": task % student_fails != 0}[who]


def program(who: str, task: int, passed: bool) -> str:
    middle = "sum(x for x in values if x > 0)" if passed else "sum(x for x in values)"
    return f"def positive_sum_{task}(values):\n    # {who}\n    return {middle}\n"


def write_run(
    folder: Path,
    *,
    who: Sequence[str] = ("teacher", "base", "student"),
    benchmarks: Sequence[str] = ("tiny",),
    tasks: int = 40,
    steps: int = 100,
    student_fails: int = 4,
    overrides: Sequence[str] = (),
) -> Path:
    """A run directory with a greedy sample for each task and a line of metrics for each step."""
    directory = RunDirectory(folder)
    recipe = load_recipe("tiny", overrides)
    write_yaml(directory.recipe, recipe.dump())
    write_json(directory.environment, ENVIRONMENT)
    write_jsonl(directory.metrics, [metrics(step, steps, recipe.method) for step in range(1, steps + 1)])
    results: dict[tuple[Any, str], Any] = {}
    for model in who:
        for benchmark in benchmarks:
            results[model, benchmark] = _evaluation(directory, model, benchmark, tasks, student_fails)
    training = TrainingSummary(steps=steps, examples=8000, cut=3, dropped=0)
    summary = summarize_run(recipe, directory, results, training, 0.0)
    write_model(directory.summary, summary.model_copy(update={"seconds": 305.2, "finished": FINISHED}))
    return folder


def write_recipes(root: Path) -> dict[str, Path]:
    """Three recipes with the seeds 0, 1 and 2.

    akd fails every 4th, 5th and 6th task of 40, rkd every 3rd, 4th and 5th, kd every 2nd, 3rd and 4th.
    """
    return {
        f"{method}-{seed}": write_run(
            root / f"{method}-{seed}",
            student_fails=fails + seed,
            steps=20,
            overrides=[f"training.seed={seed}", f"method={method}"],
        )
        for method, fails in (("akd", 4), ("rkd", 3), ("kd", 2))
        for seed in (0, 1, 2)
    }


def tell_again(folder: Path) -> None:
    """Let the run's summary tell what the files of its evaluations say by now."""
    directory = RunDirectory(folder)
    summary = json.loads(directory.summary.read_text())
    for row in summary["models"]:
        files = directory.evaluation(row["who"], row["benchmark"])
        row |= json.loads(files.summary.read_text()) | summarize(read_rows(files.results, ResultRow)).to_json()
    write_json(directory.summary, summary)


def metrics(step: int, steps: int, method: str) -> dict[str, Any]:
    """A line of metrics.jsonl; the values fall like a run's, with a ripple for noise."""
    share, ripple = step / steps, 0.15 * math.sin(step * 2.4) * math.exp(-step / steps)
    forward, reverse = 2.2 * math.exp(-4 * share) + 0.4 + ripple, 3.0 * math.exp(-5 * share) + 0.5 + 1.3 * ripple
    beta = 0.1 + 0.4 * share
    row: dict[str, Any] = {
        "step": step,
        "epoch": 0,
        "loss": (1 - beta) * forward + beta * reverse,
        "forward_kl": forward,
    }
    row |= {"reverse_kl": reverse, "beta": beta, "beta_loss": 0.1, "lr": 1e-3 * (1 - share), "grad_norm": 0.9}
    if method == "sft":
        row |= {"forward_kl": None, "reverse_kl": None, "beta": None, "beta_loss": None}
    if method in FIXED_BETA:
        row["beta"] = FIXED_BETA[method]
    return row | {"tokens": 640, "seconds": 0.4}


def _evaluation(directory: RunDirectory, who: str, benchmark: str, tasks: int, student_fails: int) -> EvaluationSummary:
    files, samples, results = directory.evaluation(who, benchmark), [], []
    for task in range(tasks):
        passed, name = passes(who, task, student_fails), f"{benchmark}/{task}"
        source, failure = program(who, task, passed), FAILURES[task // 4 % len(FAILURES)]
        prompt = f'### Instruction:\nComplete the function.\n\ndef positive_sum_{task}(values):\n    """Add up."""\n'
        samples.append(SampleRow(task_id=name, sample=0, prompt=prompt, completion=source, solution=source))
        category, error, message = ("passed", None, "") if passed else failure
        results.append(
            ResultRow(
                task_id=name,
                sample=0,
                passed=passed,
                status="passed" if passed else "failed",
                category=category,
                error_type=error,
                message=message,
                line=None,
                seconds=0.01,
            )
        )
    write_rows(files.samples, samples)
    write_rows(files.results, results)
    summary = EvaluationSummary(
        model=f"tiny/{who}" if who != "student" else str(directory.model),
        parameters=PARAMETERS[who],
        benchmark=benchmark,
        sandbox="namespaces",
        sha256="ab" * 32,
        seconds=1.5,
        prompt_form="instruct",
        template="alpaca",
        **summarize(results).to_json(),
    )
    write_model(files.summary, summary)
    return summary


ENVIRONMENT = {
    "python": "3.11.2",
    "platform": "Linux-6.1-x86_64",
    "processor": "A processor",
    "cores": 2,
    "memory_gib": 7.8,
    "accelerators": [],
    "packages": {"codedistill": "0.1.0", "torch": "2.13.0", "peft": None},
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "changed": False},
    "fingerprints": {"data": "cd" * 32, "tokenizer": "ef" * 32},
}
