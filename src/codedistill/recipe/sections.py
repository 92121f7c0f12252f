"""The sections of a recipe: what may be set, within which limits, and what it is when nobody sets it.

`Section.unread` names the keys that another key of the same section makes pointless; `recipe/model.py` refuses those.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def unread(self) -> dict[str, str]:
        """Keys of this section that would have no effect, each with the key=value that makes it so."""
        return {}


class ModelSpec(Section):
    """A model. Text alone, as in `student: tiny/student`, is its `path`."""

    path: str | None = Field(
        None, description="a folder in transformers' format, a hub id, `tiny/teacher` or `tiny/student`"
    )
    tokenizer: str | None = Field(None, description="folder or hub id of the tokenizer; default: the model's own")
    keep_layers: int | None = Field(None, ge=1, description="cut the model to this many of its layers, evenly spread")
    architecture: dict[str, Any] | None = Field(
        None,
        description="instead of `path`: a new model with random weights, from the fields of a transformers config "
        "(`model_type`, `hidden_size` and so on); needs `tokenizer`",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="the type that the weights are loaded in; a student cannot be trained in float16"
    )

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSpec:
        if (self.path is None) == (self.architecture is None):
            raise ValueError("give either a path or an architecture")
        if self.architecture is not None and self.tokenizer is None:
            raise ValueError("an architecture needs a tokenizer beside it")
        return self

    def __str__(self) -> str:
        return self.path or f"new {(self.architecture or {}).get('model_type', 'model')}"


def _list(value: object) -> object:
    return [value] if isinstance(value, str) else value


TextList = Annotated[list[str], BeforeValidator(_list)]
"""Text alone is a list of one."""

Decay = Annotated[float, Field(ge=0, lt=1)]


def _spec(value: object) -> object:
    if not isinstance(value, str | dict | ModelSpec | None):
        raise ValueError(f"should be a path, a hub id or a section with keys, not {value!r}")
    return {"path": value} if isinstance(value, str) else value


Model = Annotated[ModelSpec, BeforeValidator(_spec)]


class Data(Section):
    """Where the examples come from and how long they may be."""

    source: str = Field(
        "tiny", description="`tiny` and `tiny/text` (both embedded), a JSON, JSONL, Parquet or text file, or a hub id"
    )
    limit: int | None = Field(None, ge=1, description="use only this many rows, the first ones")
    max_length: int = Field(
        512, ge=8, description="most tokens of prompt and response together; longer examples are cut at the end"
    )


def _pair(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"should be two numbers, such as [0.9, 0.999], not {value!r}")
    return value


class Training(Section):
    """The optimiser and the loop."""

    steps: int | None = Field(None, ge=1, description="optimiser steps; instead of epochs")
    epochs: int | None = Field(None, ge=1, description="passes over the data; 1 when neither is given")
    batch_size: int = Field(8, ge=1, description="examples per optimiser step and process")
    micro_batch_size: int | None = Field(None, ge=1, description="examples per forward pass; default: batch_size")
    learning_rate: float = Field(1e-5, gt=0, description="the highest learning rate of the student's optimiser, AdamW")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="how the learning rate goes on after the warm-up; linear and cosine fall to 0"
    )
    warmup_steps: int = Field(0, ge=0, description="optimiser steps in which the learning rate rises from 0")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW, on every weight that is trained")
    adam_betas: Annotated[tuple[Decay, Decay], BeforeValidator(_pair)] = Field(
        (0.9, 0.999), description="of AdamW: how slowly its means of gradients and of their squares change"
    )
    max_grad_norm: float | None = Field(
        1.0, gt=0, description="a step's gradient is scaled down to this length if it is longer; null: never"
    )
    seed: int = Field(
        0, ge=0, le=2**32 - 1, description="decides the order of the data and everything that is drawn in training"
    )
    checkpoint_every: int = Field(200, ge=1, description="optimiser steps between checkpoints")
    keep_checkpoints: int = Field(1, ge=1, description="how many of the newest checkpoints are kept")
    gradient_checkpointing: bool = Field(
        False, description="compute the student's activations twice instead of keeping them: less memory, more time"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="the type that matrix products are computed in; weights, softmax and sums stay in float32",
    )
    compile: bool = Field(False, description="torch.compile of student and teacher; needs a C++ compiler")

    @model_validator(mode="after")
    def _one_length(self) -> Training:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("give steps or epochs, not both")
        return self

    @model_validator(mode="after")
    def _parts_of_a_batch(self) -> Training:
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise ValueError(
                f"micro_batch_size={self.micro_batch_size} is more than batch_size={self.batch_size}, of which it is a "
                "part; lower it or leave it out"
            )
        return self


class Lora(Section):
    """Train low-rank adapters on the student instead of its weights. `lora: {}` takes the defaults, null is off."""

    rank: int = Field(8, ge=1, description="size of the adapters")
    alpha: int = Field(32, ge=1, description="the adapters' output is multiplied by alpha / rank")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the adapters' inputs that are set to 0 in training")
    targets: TextList | None = Field(
        None, description="names of the layers that get an adapter; default: the inputs of the attention"
    )


class Evaluation(Section):
    """Which benchmarks judge the models, and how they are asked."""

    benchmarks: TextList = Field(default_factory=lambda: ["tiny"], description="names or files, see benchmarks.md")
    limit: int | None = Field(None, ge=1, description="only this many tasks of each benchmark, the first ones")
    form: Literal["complete", "instruct", "chat"] = Field(
        "instruct",
        description="`instruct`: a task is an instruction in the prompt template; `chat`: a message in the model's own "
        "chat template; `complete`: code to go on with",
    )
    samples: int = Field(1, ge=1, description="completions per task; more than 1 need a temperature above 0")
    temperature: float = Field(0.0, ge=0, description="of the sampling; 0: greedy, always the likeliest token")
    seed: int = Field(0, ge=0, description="of the sampling")
    max_new_tokens: int = Field(512, ge=1, description="the longest completion that a model may write, in tokens")
    batch_size: int = Field(32, ge=1, description="tasks that a model answers at once")
    timeout: float = Field(5.0, gt=0, le=86_400, description="seconds a program may take")

    @model_validator(mode="after")
    def _samples_differ(self) -> Evaluation:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(f"samples={self.samples} needs a temperature above 0: greedy ones are all the same")
        return self
