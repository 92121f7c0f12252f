"""A whole run against AdamW, clipping and schedule written out, on gradients of full logits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from codedistill.data import BatchPlan, collate, encode_examples, load_examples
from codedistill.models import load_model
from codedistill.prompts import TEMPLATES
from codedistill.recipe.load import load_recipe
from codedistill.recipe.model import Recipe
from codedistill.runs.directory import RunDirectory
from codedistill.training import train

RATES = [0.5e-3, 1e-3, 1e-3, 1e-3 * 2 / 3, 1e-3 / 3]
"""Two steps of warm-up to 1e-3, then linearly to 0."""

OVERRIDES = [
    "method=sft",
    "data.limit=36",
    "loss.normalization=token",
    f"training.steps={len(RATES)}",
    "training.warmup_steps=2",
    "training.schedule=linear",
    "training.seed=8",
    "training.adam_betas=[0.5, 0.9]",
    "training.weight_decay=5.0",
    "training.max_grad_norm=0.3",
]


def by_hand(recipe: Recipe) -> dict[str, torch.Tensor]:
    """The student's weights after training, in float64."""
    student, training = load_model(recipe.student, "student"), recipe.training
    model: Any = student.model.double()
    source = load_examples(recipe.data.source, recipe.data.limit)
    examples, _ = encode_examples(source, TEMPLATES["alpaca"], student.tokenizer, recipe.data.max_length)
    batches = BatchPlan(tuple(len(e.ids) for e in examples), training.batch_size, training.seed).start_at(0)
    weights = dict(model.named_parameters())
    first = {name: torch.zeros_like(w) for name, w in weights.items()}
    second = {name: torch.zeros_like(w) for name, w in weights.items()}
    (b1, b2), limit = training.adam_betas, training.max_grad_norm
    assert limit is not None
    for t, (rate, (_, indices)) in enumerate(zip(RATES, batches, strict=False), 1):
        batch = collate([examples[i] for i in indices], student.tokenizer.pad_token_id)
        logits = model(batch.ids, attention_mask=batch.attention).logits.flatten(0, 1)[batch.rows]
        slopes = torch.autograd.grad(cross_entropy(logits, batch.targets), list(weights.values()))
        norm = torch.stack([g.norm() for g in slopes]).norm().item()
        assert norm > 2.0 * limit
        for (name, weight), slope in zip(weights.items(), slopes, strict=True):
            clipped = slope * limit / norm
            first[name] = b1 * first[name] + (1.0 - b1) * clipped
            second[name] = b2 * second[name] + (1.0 - b2) * clipped**2
            step = first[name] / (1.0 - b1**t) / ((second[name] / (1.0 - b2**t)).sqrt() + 1e-8)
            weight.data -= rate * (step + training.weight_decay * weight.data)
    return {name: weight.detach() for name, weight in weights.items()}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    return math.sqrt(sum((a[name].double() - b[name].double()).square().sum().item() for name in a))


def test_the_optimizer_by_hand(micro_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = load_recipe(micro_recipe, OVERRIDES)
    expected = by_hand(recipe)
    result = train(recipe, RunDirectory(tmp_path / "run"))
    before, found = (load_file(Path(f) / "model.safetensors") for f in (micro_recipe["student"], result.model))
    assert distance(found, expected) < 1e-4 * distance(expected, before)
