"""One model for each file of a run directory. A file is written by dumping its model and read by validating it.

metrics.jsonl           StepMetrics, one line per optimizer step
samples.jsonl           SampleRow, one line per completion
results.jsonl           ResultRow, one line per verdict
results.partial.jsonl   ResultsRequest on the first line, then FinishedRow
request.json            SamplesRequest
evaluation/*/*/summary.json    EvaluationSummary
summary.json            RunSummary

Only the fields that were given are written, in the order in which the models declare them: a column such as
`base_passed` stands where it means something. Fields that an older version did not write have a default. A field that
this version does not know is refused: a newer version wrote the file, and its numbers may mean something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, NonNegativeInt, model_validator

from codedistill.evaluation.aggregate import Summary
from codedistill.runs.files import Record

Who = Literal["teacher", "base", "student"]

Status = Literal["passed", "failed", "timeout", "memory", "crashed", "exited", "broken_checks"]
"""How a program ended: the values of `sandbox.Status`."""

Isolation = Literal["data", "shared"]
"""Whether the checks ran in another process or in the program's, see docs/sandbox.md."""

Interval = Annotated[tuple[float, float], Field(strict=False)]  # JSON has no tuples


class StepMetrics(Record):
    """One optimizer step: means over the step's response tokens.

    `lr` is the learning rate and `grad_norm` the gradient's norm before clipping. `tokens` counts response tokens,
    `padding` is the share of the batch's positions that hold no token, `seconds` the wall time of the step. A quantity
    that the method does not have, or that is not finite, is None. Further numbers of the method are in `extra`; in the
    file they stand beside the others.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    step: Annotated[int, Field(ge=1)]
    epoch: NonNegativeInt = 0
    loss: float | None
    forward_kl: float | None = None
    reverse_kl: float | None = None
    beta: float | None = None
    beta_loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    tokens: NonNegativeInt | None = None
    padding: float | None = None
    seconds: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_finite(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}

    @property
    def extra(self) -> dict[str, float | None]:
        return dict(self.__pydantic_extra__)

    @property
    def tokens_per_second(self) -> float | None:
        return self.tokens / self.seconds if self.tokens is not None and self.seconds else None


class SampleRow(Record):
    """One completion and the program that it became.

    `completion` is the model's text, `solution` the whole program. `finish` says why the completion ended: "eos",
    "stop" or "length"; it is None in samples of other tools, as are `tokens` and `prompt_form`.
    """

    task_id: str
    sample: int = 0
    prompt: str = ""
    completion: str
    solution: str
    finish: str | None = None
    tokens: NonNegativeInt | None = None
    prompt_form: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.task_id, self.sample


class ResultRow(Record):
    """One verdict.

    `base_passed` is the verdict on EvalPlus's base inputs alone and absent for other benchmarks. `category` is an
    `evaluation.Category`, or the name of an exception that has none. `line` is 1-based, in the program. `sandbox` names
    the layers between program and machine.
    """

    task_id: str
    sample: int = 0
    passed: bool
    base_passed: bool | None = None
    status: Status
    category: str
    error_type: str | None = None
    message: str = ""
    line: int | None = None
    seconds: float = 0.0
    sandbox: str | None = None
    isolation: Isolation | None = None

    @property
    def key(self) -> tuple[str, int]:
        return self.task_id, self.sample


class SamplesRequest(Record):
    """Everything that a model's completions depend on. Samples are reused only for an equal request.

    `weights` and `benchmark` are SHA-256 sums. `template` is None where the prompt is code to continue.
    """

    model: str
    keep_layers: int | None = None
    template: str | None
    form: str
    samples: int
    temperature: float
    seed: int
    max_new_tokens: int
    parameters: int
    weights: str
    benchmark: str


class ResultsRequest(Record):
    """Everything that the verdicts depend on. `samples` and `benchmark` are SHA-256 sums, `timeout` is in seconds."""

    samples: str
    benchmark: str
    timeout: float
    sandbox: str
    version: str
    isolation: Isolation | None = None


class FinishedRow(Record):
    """A finished verdict: `row` is the number of its sample in the samples file, from 0.

    `base_passed` of a verdict is None until the base inputs have been tried.
    """

    row: NonNegativeInt
    verdict: ResultRow


class _Subject(Record):
    model: str | None = None
    parameters: NonNegativeInt | None = None
    benchmark: str
    benchmark_tasks: NonNegativeInt | None = None


class EvaluationSummary(Summary, _Subject):
    """One model on one benchmark: the subject, an `evaluation.Summary`, and the conditions.

    `tasks` of `benchmark_tasks` were evaluated. `isolation` joins the rows' with "+". `sha256` is of the benchmark's
    data. `inputs_left_out` counts test inputs without an expected output, `truncated` the completions that did not end
    by themselves, and `context_full` those of them that ended with the model's context, before `max_new_tokens`. Model,
    parameters, form and template are absent where the samples came from a file.
    """

    sandbox: str | None = None
    isolation: str | None = None
    sha256: str | None = None
    inputs_left_out: NonNegativeInt = 0
    truncated: NonNegativeInt = 0
    context_full: NonNegativeInt = 0
    seconds: float | None = None
    prompt_form: str | None = None
    template: str | None = None


class _ModelOfARun(Record):
    who: Who
    accuracy_loss: float | None


class ModelSummary(EvaluationSummary, _ModelOfARun):
    """An evaluation of a run: `who` and `accuracy_loss`, then the fields of EvaluationSummary.

    `accuracy_loss` is in percent of the teacher's pass@1; None for the teacher, and where the teacher has 0.
    """


class PairedDifference(Record):
    """Distilled student minus base student, over the tasks of one benchmark: pass@1, 95% interval, p-value and test."""

    difference: float
    interval: Interval
    p: float
    test: str


class TrainingSummary(Record):
    """Optimizer steps; examples used, truncated (`cut`), dropped, and with an unfinished response of the teacher.

    Memory is in megabytes.
    """

    steps: NonNegativeInt
    examples: NonNegativeInt
    cut: NonNegativeInt
    dropped: NonNegativeInt
    unfinished: NonNegativeInt = 0
    peak_memory_mb: float | None = None


class RunSummary(Record):
    """The table that the terminal shows.

    `accuracy_loss` and `paired` are the distilled student's, by benchmark. `seconds` is wall time from start to end,
    `finished` the end in UTC (ISO 8601).
    """

    name: str
    run_directory: str
    method: str
    models: list[ModelSummary]
    accuracy_loss: dict[str, float | None]
    paired: dict[str, PairedDifference | None]
    training: TrainingSummary | None = None
    seconds: float | None = None
    finished: str | None = None
