"""A method over the micro pair with one batch, and the same numbers from full logits by plain autograd."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from codedistill.data import Batch, Encoded, collate, encode_examples, load_examples
from codedistill.methods import build_method
from codedistill.methods.base import Method, MethodContext, Student
from codedistill.models import Loaded, load_model, shared_vocabulary
from codedistill.models.heads import HiddenStates
from codedistill.prompts import TEMPLATES
from codedistill.recipe.load import load_recipe
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import ModelSpec
from codedistill.teachers import LiveTeacher
from tests.families import micro
from tests.methods.method_runs import short_recipe_of


@dataclass
class Bench:
    """What a test of a method's loss needs."""

    recipe: Recipe
    context: MethodContext
    method: Method
    student: Loaded
    teacher: Loaded
    examples: list[Encoded]

    @property
    def batch(self) -> Batch:
        return collate(self.examples, self.student.tokenizer.pad_token_id)

    def logits(self, who: Loaded, batch: Batch) -> torch.Tensor:
        """Full logits [N, V] of the tokenizer's V tokens at the batch's rows, as the model itself gives them."""
        logits = who.model(batch.ids, attention_mask=batch.attention).logits.flatten(0, 1)[batch.rows]
        cut: torch.Tensor = logits[:, : len(self.student.tokenizer)]
        return cut

    def step(self, number: int = 0) -> Batch:
        """The batch of an optimizer step, as the method wants to see it."""
        return collate(self.method.start_step(number, self.examples), self.student.tokenizer.pad_token_id)

    def gradients(self, loss: torch.Tensor) -> list[torch.Tensor]:
        """d loss / d parameters of the student, which are then as before."""
        self.student.model.zero_grad()
        loss.backward()
        found = [p.grad.clone() for p in self.student.model.parameters() if p.grad is not None]
        self.student.model.zero_grad()
        return found


@pytest.fixture(scope="session")
def short_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 examples of some 20 tokens, of unequal lengths."""
    file = tmp_path_factory.mktemp("data") / "short.jsonl"
    words = ["a", "value", "items", "n", "total", "text"]
    rows = [
        {
            "prompt": f"def f{i}({words[i % 6]}):\n" + f"    {words[i % 5]} = {i}\n" * (i % 4),
            "completion": f"    return {words[i % 6]} + {i}" + f" * {words[i % 4]}" * (i % 3),
        }
        for i in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One text."""
    file = tmp_path_factory.mktemp("corpus") / "one.txt"
    file.write_text("def area(width, height): return width * height\n")
    return file


@pytest.fixture
def short_recipe(micro_pair: dict[str, Path], short_data: Path, tmp_path: Path) -> dict[str, Any]:
    return short_recipe_of(micro_pair, short_data, tmp_path / "run")


@pytest.fixture(scope="session")
def loaded_pair(micro_pair: dict[str, Path]) -> dict[str, Loaded]:
    """The micro pair in memory: to be copied, not changed."""
    return {name: load_model(ModelSpec(path=str(folder)), name) for name, folder in micro_pair.items()}


@pytest.fixture
def bench(micro_pair: dict[str, Path], loaded_pair: dict[str, Loaded], short_data: Path) -> Callable[..., Bench]:
    def build(
        overrides: Sequence[str] = (),
        count: int = 4,
        wide: bool = False,
        families: dict[str, str] | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
    ) -> Bench:
        """families: other models than the micro pair's, a name in FAMILIES for each. change: what is done to both
        models before the method is built.
        """
        values: dict[str, Any] = {name: str(folder) for name, folder in micro_pair.items()}
        recipe = load_recipe(values, overrides)
        pair = (loaded_pair[name] for name in ("student", "teacher"))
        student, teacher = (replace(each, model=copy.deepcopy(each.model)) for each in pair)
        if families is not None:
            student = replace(student, model=micro(families["student"], len(student.tokenizer)))
            teacher = replace(teacher, model=micro(families["teacher"], len(teacher.tokenizer), seed=4))
        if change is not None:
            torch.manual_seed(11)
            change({"student": student.model, "teacher": teacher.model})
        if wide:
            student.model.double()
            teacher.model.double()
        rows, _ = encode_examples(load_examples(str(short_data), count), TEMPLATES["alpaca"], student.tokenizer, 512)
        model = Student(student, student.model, HiddenStates(student.model), shared_vocabulary(teacher, student))
        context = MethodContext(recipe, model, LiveTeacher(teacher))
        return Bench(recipe, context, build_method(context), student, teacher, rows)

    return build
