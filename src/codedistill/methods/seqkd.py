"""Sequence-level distillation: the student learns from responses that the teacher writes. Kim and Rush 2016.

The AKD paper (section 4.4.2) trains with the forward KL on them; Kim and Rush with the cross entropy alone. Both are
methods that exist already; what is new here is where the examples come from.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from codedistill.data import Example
from codedistill.data.encode import check_templates, prompt_text
from codedistill.errors import UserError
from codedistill.generation import Sampling
from codedistill.methods.base import Ingredients, Method, Rewritten, Workplace
from codedistill.methods.kd import Distillation
from codedistill.methods.settings import Seqkd
from codedistill.methods.sft import SupervisedFineTuning
from codedistill.models import Loaded
from codedistill.prompts import TEMPLATES
from codedistill.recipe.model import Recipe
from codedistill.teachers.responses import FILE, Order, keep_responses, kept_responses, responses_of, write_responses


def on_teacher_responses(given: Ingredients) -> Method:
    """The divergence on the teacher's responses, or their cross entropy alone."""
    return Distillation(given) if given.recipe.asks_teacher else SupervisedFineTuning(given)


def teacher_examples(recipe: Recipe, examples: list[Example], teacher: Loaded, place: Workplace) -> Rewritten:
    """The data's examples with the teacher's responses, written now or found in the run directory.

    Raises:
        UserError: `seqkd.responses` names a file that does not fit, or training on other responses has begun.
    """
    settings, template = recipe.section(Seqkd), TEMPLATES[recipe.instructions_template]
    check_templates(examples, template, teacher.tokenizer)
    prompts = {example.id: prompt_text(example, template, teacher.tokenizer) for example in examples}
    sampling = Sampling(settings.max_new_tokens, settings.temperature, settings.seed, settings.batch_size)
    about = {
        "teacher": str(recipe.teacher),
        "data": recipe.data.source,
        "template": recipe.instructions_template,
        "sampling": settings.model_dump(include={"temperature", "seed", "max_new_tokens"}),
    }
    order = Order(teacher, prompts, sampling, about)
    fingerprint = order.fingerprint()
    if settings.responses is not None:
        rows = responses_of(Path(settings.responses), order, fingerprint, "seqkd.responses")
    elif place.begun:
        rows = _begun_with(order, fingerprint, place)
    else:
        found = kept_responses(place.folder, order, fingerprint)
        rows = _write(order, fingerprint, place) if found is None else found
    by_id = {row["id"]: row for row in rows}
    return Rewritten(
        [replace(example, response=by_id[example.id]["response"]) for example in examples],
        frozenset(i for i, row in by_id.items() if row["finish"] == "length"),
    )


def _begun_with(order: Order, fingerprint: str, place: Workplace) -> list[dict[str, Any]]:
    """The responses that training began with: others, even of the same teacher, would make it another training."""
    rows = kept_responses(place.folder, order, fingerprint)
    if rows is None:
        file = place.folder / FILE
        raise UserError(
            f"resume: training has begun on the responses in {file}, and now the file or its .json is missing, damaged "
            "or of another teacher or data; put both back as they were, or begin again in another output"
        )
    return rows


def _write(order: Order, fingerprint: str, place: Workplace) -> list[dict[str, object]]:
    model: Any = order.teacher.model
    model.to(place.device)
    processes = place.processes
    own = write_responses(order, fingerprint, place.folder, processes.index, processes.count, place.count)
    rows = processes.gather(own)
    if processes.index == 0:
        keep_responses(place.folder, rows, fingerprint, order.about)
    return rows
