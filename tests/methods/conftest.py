"""A method over the micro pair with one batch, and the same numbers from full logits by plain autograd."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from method_runs import short_recipe_of

from codedistill.config import Recipe, load_recipe
from codedistill.data import Batch, Encoded, collate, encode_examples, load_examples
from codedistill.methods import build_method
from codedistill.methods.base import Ingredients, Method
from codedistill.models import Loaded, load_model
from codedistill.models.heads import HiddenStates
from codedistill.prompts import TEMPLATES
from codedistill.teachers import LiveTeacher


@dataclass
class Bench:
    """What a test of a method's loss needs."""

    recipe: Recipe
    ingredients: Ingredients
    method: Method
    student: Loaded
    teacher: Loaded
    examples: list[Encoded]

    @property
    def batch(self) -> Batch:
        return collate(self.examples, self.student.tokenizer.pad_token_id)

    def logits(self, who: Loaded, batch: Batch) -> torch.Tensor:
        """Full logits [N, V] at the batch's rows, as the model itself gives them."""
        return who.model(batch.ids, attention_mask=batch.attention).logits.flatten(0, 1)[batch.rows]

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


@pytest.fixture
def short_recipe(micro_pair: dict[str, Path], short_data: Path, tmp_path: Path) -> dict[str, Any]:
    return short_recipe_of(micro_pair, short_data, tmp_path / "run")


@pytest.fixture
def bench(micro_pair: dict[str, Path], short_data: Path) -> Callable[..., Bench]:
    def build(overrides: Sequence[str] = (), count: int = 4, wide: bool = False) -> Bench:
        values: dict[str, Any] = {name: str(folder) for name, folder in micro_pair.items()}
        recipe = load_recipe(values, overrides)
        assert recipe.teacher is not None
        student, teacher = load_model(recipe.student, "student"), load_model(recipe.teacher, "teacher")
        if wide:
            student.model.double()
            teacher.model.double()
        rows, _ = encode_examples(load_examples(str(short_data), count), TEMPLATES["alpaca"], student.tokenizer, 512)
        ingredients = Ingredients(
            recipe=recipe,
            student=student,
            model=student.model,
            states=HiddenStates(student.model),
            teacher=LiveTeacher(teacher.model),
            teacher_model=teacher,
            vocabulary=len(student.tokenizer),
        )
        return Bench(recipe, ingredients, build_method(ingredients), student, teacher, rows)

    return build
