"""The sections of a recipe: the keys, their ranges and their defaults.

A new key is one `key(...)` here, or in a method's section in methods/settings.py. Checks of a section raise ValueError,
or `wrong(...)` if they concern several keys.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from codedistill.recipe import Dtype, Precision


def key(default: Any, description: str, *, free: bool = False, **limits: Any) -> Any:
    """A key of a section.

    free: a resumed run may change it, because it decides where files go or how much memory is used, not what is
    trained. limits: `ge`, `gt`, `le`, `lt`, `pattern` of `pydantic.Field`.
    """
    return Field(default, description=description, json_schema_extra={"free": True} if free else None, **limits)


def wrong(message: str, *keys: str) -> PydanticCustomError:
    """A fault for a validator to raise. keys: the section's keys at fault, the likeliest cause first."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "keys": keys})


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, and nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def ineffective(self) -> dict[str, str]:
        """Keys without effect, each with the key=value that causes it. Setting them is an error."""
        return {}


class ModelSpec(Section):
    """A model. Text alone, as in `student: tiny/student`, is its `path`."""

    path: str | None = key(None, "a folder in transformers' format, a hub id, `tiny/teacher` or `tiny/student`")
    tokenizer: str | None = key(None, "folder or hub id of the tokenizer; default: the model's own")
    keep_layers: int | None = key(None, "cut the model to this many of its layers, evenly spread", ge=1)
    architecture: dict[str, Any] | None = key(
        None,
        "instead of `path`: a new model with random weights, from the fields of a transformers config "
        "(`model_type`, `hidden_size` and so on); needs `tokenizer`",
    )
    dtype: Dtype = key("float32", "the type that the weights are loaded in; a student cannot be trained in float16")
    trust_remote_code: bool = key(False, "run the Python code that comes with the model or its tokenizer")

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSpec:
        if (self.path is None) == (self.architecture is None):
            raise wrong("give either a path or an architecture", "path", "architecture")
        if self.architecture is not None and self.tokenizer is None:
            raise wrong("an architecture needs a tokenizer", "tokenizer", "architecture")
        return self

    def __str__(self) -> str:
        return self.path or f"new {(self.architecture or {}).get('model_type', 'model')}"


TextList = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]
"""Text alone is a list of one."""

Decay = Annotated[float, Field(ge=0, lt=1)]


def _spec(value: object) -> object:
    if not isinstance(value, str | dict | ModelSpec | None):
        raise ValueError(f"should be a path, a hub id or a section with keys, not {value!r}")
    return {"path": value} if isinstance(value, str) else value


Model = Annotated[ModelSpec, BeforeValidator(_spec)]


class Data(Section):
    """The training examples and their maximum length."""

    source: str = key(
        "tiny", "`tiny` and `tiny/text` (both embedded), a JSON, JSONL, Parquet or text file, or a hub id"
    )
    limit: int | None = key(None, "number of rows to use, from the start; default: all", ge=1)
    max_length: int = key(512, "maximum tokens of prompt and response together; longer examples are truncated", ge=8)
    turns: Literal["all", "last"] = key("all", "the assistant turns of a chat to train on: all, or the last one")
    strict: bool = key(False, "refuse the data if a row cannot be used, instead of skipping such rows")


def _pair(value: object) -> object:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"should be two numbers, such as [0.9, 0.999], not {value!r}")
    return value


class Training(Section):
    """The optimizer and the training loop."""

    steps: int | None = key(None, "optimizer steps; instead of epochs", ge=1)
    epochs: int | None = key(None, "passes over the data; 1 if neither steps nor epochs is set", ge=1)
    batch_size: int = key(8, "examples per optimizer step and process", ge=1)
    micro_batch_size: int | None = key(None, "examples per forward pass; default: batch_size", free=True, ge=1)
    learning_rate: float = key(1e-5, "the peak learning rate of the student's optimizer, AdamW", gt=0)
    schedule: Literal["constant", "linear", "cosine"] = key(
        "constant", "the learning rate after the warm-up; linear and cosine decay to 0"
    )
    warmup_steps: int = key(0, "optimizer steps in which the learning rate rises from 0", ge=0)
    weight_decay: float = key(0.0, "AdamW's weight decay, applied to every trained weight", ge=0)
    adam_betas: Annotated[tuple[Decay, Decay], BeforeValidator(_pair)] = key(
        (0.9, 0.999), "AdamW's decay rates for the means of the gradients and of their squares"
    )
    max_grad_norm: float | None = key(1.0, "clip the gradient of a step to this norm; null: never", gt=0)
    seed: int = key(0, "seed of the data order and of every draw in training", ge=0, le=2**32 - 1)
    checkpoint_every: int = key(200, "optimizer steps between checkpoints", free=True, ge=1)
    keep_checkpoints: int = key(1, "how many of the newest checkpoints are kept", free=True, ge=1)
    gradient_checkpointing: bool = key(
        False, "compute the student's activations twice instead of keeping them: less memory, more time"
    )
    precision: Precision = key(
        "float32", "the type of matrix products in training; weights, softmax and sums stay in float32"
    )
    compile: bool = key(False, "torch.compile of student and teacher; needs a C++ compiler")

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if self.steps is not None and self.epochs is not None:
            raise wrong("give steps or epochs, not both", "steps", "epochs")
        if self.micro_batch_size is not None and self.micro_batch_size > self.batch_size:
            raise wrong(
                f"micro_batch_size={self.micro_batch_size} is more than batch_size={self.batch_size}; lower it or "
                "leave it out",
                "micro_batch_size",
                "batch_size",
            )
        return self


class Lora(Section):
    """Train low-rank adapters on the student instead of its weights. `lora: {}` takes the defaults, null is off."""

    rank: int = key(8, "rank of the adapters", ge=1)
    alpha: int = key(32, "the adapters' output is multiplied by alpha / rank", ge=1)
    dropout: float = key(0.1, "share of the adapters' inputs that are set to 0 in training", ge=0, lt=1)
    targets: TextList | None = key(None, "names of the adapted layers; default: the inputs of the attention")


class Evaluation(Section):
    """The benchmarks, and how the models answer them."""

    benchmarks: TextList = Field(default_factory=lambda: ["tiny"], description="names or files, see benchmarks.md")
    limit: int | None = key(None, "number of tasks of each benchmark, from the start; default: all", ge=1)
    form: Literal["complete", "instruct", "chat"] = key(
        "instruct",
        "`instruct`: a task is an instruction in the prompt template; `chat`: a message in the model's own chat "
        "template; `complete`: code to continue",
    )
    samples: int = key(1, "completions per task; more than 1 need a temperature above 0", ge=1)
    temperature: float = key(0.0, "sampling temperature; 0: greedy, always the most likely token", ge=0)
    seed: int = key(0, "seed of the sampling", ge=0)
    max_new_tokens: int = key(512, "maximum length of a completion, in tokens", ge=1)
    batch_size: int = key(32, "tasks per batch", ge=1)
    timeout: float = key(5.0, "seconds of CPU time that a program may use", gt=0, le=86_400)
    isolation: Literal["data", "shared"] | None = key(
        None,
        "where checks run: `data`, in a process of their own; `shared`, in the program's; default: by the benchmark, "
        "see sandbox.md",
    )

    @model_validator(mode="after")
    def _samples_differ(self) -> Evaluation:
        if self.samples > 1 and self.temperature == 0:
            raise wrong(
                f"samples={self.samples} needs a temperature above 0: greedy samples are all the same",
                "samples",
                "temperature",
            )
        return self
