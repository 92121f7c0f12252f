"""Recipes with a switch on or off, and what their first step gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from codedistill.data import collate
from codedistill.methods.base import RewriteContext
from codedistill.recipe.load import load_recipe
from codedistill.training.setup import prepare

METHODS: dict[str, list[str]] = {
    "akd": ["method=akd"],
    "gkd": ["method=gkd", "gkd.max_new_tokens=5"],
    "minillm": ["method=minillm", "minillm.max_new_tokens=5", "minillm.updates=2"],
    "adapters": ["method=akd", "lora={rank: 2, dropout: 0.2}"],
}
CHECKPOINTING = "training.gradient_checkpointing=true"
NARROW = "training.precision=bfloat16"
COMPILED = "training.compile=true"


def first_step(recipe: dict[str, Any], folder: Path, overrides: list[str]) -> tuple[float, torch.Tensor]:
    """Loss and gradient, as one vector, of the first eight examples."""
    torch.manual_seed(0)
    setup = prepare(load_recipe(recipe, overrides), Accelerator(), RewriteContext(folder, torch.device("cpu")))
    examples = setup.method.start_step(0, setup.examples[:8])
    loss = setup.method.loss(collate(examples, setup.student.loaded.tokenizer.pad_token_id)).loss
    loss.backward()
    learning = [p for p in setup.student.model.parameters() if p.requires_grad]
    assert {each.dtype for p in learning for each in (p, p.grad, loss) if each is not None} == {torch.float32}
    return loss.item(), torch.cat([p.grad.flatten() for p in learning if p.grad is not None])
