"""Responses written while the student learns: by the student, or by student and teacher together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from codedistill.data import Encoded
from codedistill.generation import Mixture, Request, Sampling, generate
from codedistill.methods.base import Ingredients


@contextmanager
def evaluating(given: Ingredients) -> Iterator[None]:
    """The student without dropout, and in training again afterwards."""
    given.model.eval()
    try:
        yield
    finally:
        given.model.train()


def write_together(
    given: Ingredients, examples: Sequence[Encoded], step: int, sampling: Sampling, teacher_share: float = 0.0
) -> list[Encoded]:
    """The examples with responses that the student writes now, in the same order.

    Every token is drawn from (1 - teacher_share) * student + teacher_share * teacher. What is drawn depends on (seed,
    example, step) alone, not on how examples are spread over batches and processes. A response ends with the end token
    it has reached, or has none because `max_new_tokens` or data.max_length stopped it.
    """
    mixture = None
    if teacher_share > 0 and given.teacher_model is not None:
        mixture = Mixture(given.teacher_model.model, teacher_share)
    longest = given.recipe.data.max_length
    requests = [
        Request(index=e.id, sample=step, ids=e.ids[: e.prompt_length], limit=longest - e.prompt_length)
        for e in examples
    ]
    with evaluating(given):
        written = {done.index: done.ids for done in generate(given.student, requests, sampling, mixture)}
    return [Encoded(e.id, e.ids[: e.prompt_length] + written[e.id], e.prompt_length) for e in examples]
