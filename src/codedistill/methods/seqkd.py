"""Sequence-level distillation: the student learns from responses that the teacher writes. Kim and Rush 2016.

The AKD paper (section 4.4.2) trains on them with the forward KL, Kim and Rush with cross entropy alone. Both objectives
are other methods; only the examples are new.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from codedistill.data import Example
from codedistill.data.encode import check_templates, prompt_text
from codedistill.errors import UserError
from codedistill.generation import Sampling
from codedistill.methods.base import Method, MethodContext, RewriteContext, Rewritten
from codedistill.methods.kd import Distillation
from codedistill.methods.settings import Seqkd
from codedistill.methods.sft import SupervisedFineTuning
from codedistill.models import Loaded
from codedistill.prompts import TEMPLATES
from codedistill.recipe.model import Recipe
from codedistill.teachers.responses import FILE, Order, keep_responses, kept_responses, responses_of, write_responses


def on_teacher_responses(context: MethodContext) -> Method:
    """A divergence or cross entropy, whichever the recipe asks for."""
    return Distillation(context) if context.recipe.asks_teacher else SupervisedFineTuning(context)


def teacher_examples(recipe: Recipe, examples: list[Example], teacher: Loaded, context: RewriteContext) -> Rewritten:
    """The data's examples with the teacher's responses, written now or read from the run directory.

    Raises:
        UserError: `seqkd.responses` names a file that does not fit, or a resumed run lacks its responses.
    """
    settings, template = recipe.section(Seqkd), TEMPLATES[recipe.instructions_template]
    check_templates(examples, template, teacher.tokenizer)
    prompts = {example.id: prompt_text(example, template, teacher.tokenizer) for example in examples}
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.seed, settings.batch_size)
    provenance = {
        "teacher": str(recipe.teacher),
        "data": recipe.data.source,
        "template": recipe.instructions_template,
        "sampling": settings.model_dump(include={"temperature", "seed", "max_new_tokens"}),
    }
    order = Order(teacher, prompts, sampling, provenance)
    fingerprint = order.fingerprint()
    rows: list[dict[str, Any]] | None
    if settings.responses is not None:
        rows = responses_of(Path(settings.responses), order, fingerprint, "seqkd.responses")
    else:
        rows = kept_responses(context.folder, order, fingerprint)
        if rows is None and context.resuming:  # other responses would make it another training
            raise UserError(
                f"resume: training started on the responses in {context.folder / FILE}; now that file or its .json is "
                "missing, damaged or from another teacher or data; restore both, or start again in another output"
            )
    if rows is None:
        model: Any = teacher.model
        model.to(context.device)
        processes = context.processes
        rows = processes.gather(
            write_responses(order, fingerprint, context.folder, processes.index, processes.count, context.count)
        )
        if processes.index == 0:
            keep_responses(context.folder, rows, fingerprint, provenance)
    by_id = {row["id"]: row for row in rows}
    return Rewritten(
        [replace(example, response=by_id[example.id]["response"]) for example in examples],
        frozenset(i for i, row in by_id.items() if row["finish"] == "length"),
    )
