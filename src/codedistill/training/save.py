"""The finished student: a folder that transformers loads, with its prompt template and a model card."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from codedistill.methods.base import Student
from codedistill.models import verify_saved
from codedistill.models.saved_template import TEMPLATE_FILE
from codedistill.prompts import TEMPLATES, Template
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import ModelSpec
from codedistill.runs.directory import RunDirectory
from codedistill.training.checkpoint import new_folder, newest_checkpoint

COMPARED_BYTES = 2 * 2**30
"""The weights of larger students are not loaded again to compare them: that would take longer than it is worth."""


def save_student(recipe: Recipe, student: Student, template: str, trained: str, directory: RunDirectory) -> None:
    """Write model/ aside, load it with plain transformers, compare, and rename it.

    Adapters are merged into the weights and also kept as they are in adapter/. template: for prompts as in training.
    trained: the template that made most training prompts; another one if the rows brought them as text.

    Raises:
        UserError: the disk is full, or the saved student is another model than the trained one; the last checkpoint is
            intact.
    """
    with new_folder(directory.model, newest_checkpoint(directory.checkpoints)) as aside:
        model: Any = student.model
        if recipe.lora is not None:
            from codedistill.models.lora import merged  # not above: without adapters peft is not needed

            _save_adapter(recipe, model, aside / "adapter")
            model = merged(model)
        tokenizer = with_chat_template(student.loaded.tokenizer, TEMPLATES[template])
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        if is_compared(recipe.student, model):
            verify_saved(model, tokenizer, "the trained student", aside)
        (aside / TEMPLATE_FILE).write_text(json.dumps({"template": template, "method": recipe.method}) + "\n")
        (aside / "README.md").write_text(_card(recipe, template, trained), encoding="utf-8")


def is_compared(spec: ModelSpec, model: Any) -> bool:
    """Whether saved copies of the student are loaded and compared: not if that takes long, or runs foreign code."""
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    return size <= COMPARED_BYTES and not spec.trust_remote_code


def _save_adapter(recipe: Recipe, model: Any, folder: Path) -> None:
    """peft's files, with a model card of our own and without the base model's path on this machine."""
    model.save_pretrained(folder)
    config = folder / "adapter_config.json"
    values = json.loads(config.read_text()) | {"base_model_name_or_path": str(recipe.student)}
    config.write_text(json.dumps(values, indent=2) + "\n")
    card = f"""---
library_name: peft
tags: [lora, code, distillation, {recipe.method}]
---

# {recipe.name}: the adapter

The LoRA adapter of a student trained with codedistill, for {recipe.student}. The parent folder has the same student
with the adapter merged into its weights, and a card with the training details; it does not need this folder.
"""
    (folder / "README.md").write_text(card, encoding="utf-8")


def with_chat_template(tokenizer: Any, template: Template) -> Any:
    """The tokenizer with a chat template that gives the training prompts, for other tools; unless it has its own."""
    if tokenizer.chat_template:
        return tokenizer
    starts = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = template.as_chat_template(tokenizer.bos_token if starts else "")
    return tokenizer


def _card(recipe: Recipe, template: str, trained: str) -> str:
    brought = "" if trained == template else f"; most rows of the data brought their own prompts ({trained})"
    return f"""---
library_name: transformers
tags: [code, distillation, {recipe.method}]
---

# {recipe.name}

A student trained with codedistill.

| | |
|---|---|
| method | {recipe.method} |
| teacher | {recipe.teacher or "none"} |
| started from | {recipe.student} |
| data | {recipe.data.source} |
| prompt template | {template}{brought} |
| seed | {recipe.training.seed} |

Use the prompt template that it was trained with. `{TEMPLATE_FILE}` names it; if the tokenizer had no chat template of
its own, its chat template is the same one. The report of the run shows what was lost against the teacher.
"""
