"""The finished student: a folder that transformers loads, with its template and a model card."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codedistill.config import ModelSpec, Recipe
from codedistill.run_directory import RunDirectory
from codedistill.training.checkpoint import guarded, newest_checkpoint

if TYPE_CHECKING:
    from codedistill.training.setup import Student

TEMPLATE_FILE = "codedistill.json"


def save_student(recipe: Recipe, student: Student, template: str, directory: RunDirectory) -> None:
    """Write model/ aside and rename it. Adapters are merged into the weights, and kept beside them in adapter/.

    Raises:
        UserError: the disk is full; the last checkpoint is whole.
    """
    aside = directory.path / ".model.tmp"

    def write() -> None:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        model: Any = student.model
        if recipe.lora is not None:
            from codedistill.models.lora import merged  # not above: who only reads a template needs no peft

            model.save_pretrained(aside / "adapter")
            model = merged(model)
        model.save_pretrained(aside)
        student.loaded.tokenizer.save_pretrained(aside)
        (aside / TEMPLATE_FILE).write_text(json.dumps({"template": template, "method": recipe.method}) + "\n")
        (aside / "README.md").write_text(_card(recipe, template), encoding="utf-8")
        shutil.rmtree(directory.model, ignore_errors=True)
        aside.rename(directory.model)

    guarded(
        write,
        directory.model,
        newest_checkpoint(directory.checkpoints),
        lambda: shutil.rmtree(aside, ignore_errors=True),
    )


def saved_template(spec: ModelSpec) -> str | None:
    """The template that a student of ours was trained with, if `spec` is one's folder."""
    try:
        return json.loads((Path(spec.path or "") / TEMPLATE_FILE).read_text())["template"]
    except (OSError, ValueError, KeyError):
        return None


def _card(recipe: Recipe, template: str) -> str:
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
| prompt template | {template} |
| seed | {recipe.training.seed} |

Ask it with the prompt template it was trained with (in `{TEMPLATE_FILE}`); what was lost against the teacher stands in
the report of its run.
"""
