"""Runs of one recipe: which runs only repeat another one with a different seed, and what they are called together."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from codedistill.report.facts import flat
from codedistill.report.load import Run

OWN_KEYS = ("name", "output", "resume")
"""Recipe keys that differ between runs of the same recipe."""


@dataclass(frozen=True)
class Group:
    """The runs of one recipe: `members` are their positions in the comparison, at least one."""

    label: str
    members: tuple[int, ...]


def groups_of(runs: Sequence[Run], labels: Sequence[str]) -> tuple[Group, ...]:
    """Runs whose recipes differ in name, output and seed alone are one group; a run without a recipe is its own."""
    found: dict[str, list[int]] = {}
    for i, run in enumerate(runs):
        found.setdefault(str(i) if run.recipe is None else _without_seed(run), []).append(i)
    members = list(found.values())
    names = [common_name([labels[i] for i in group]) for group in members]
    return tuple(
        Group(f"{labels[group[0]]} and repeats" if len(group) > 1 and names.count(name) > 1 else name, tuple(group))
        for name, group in zip(names, members, strict=True)
    )


def common_name(labels: Sequence[str]) -> str:
    """What the labels begin (else end) with, in whole words: `akd` for akd-0 and akd-1."""
    if len(labels) == 1:
        return labels[0]
    words = [re.split(r"([-_. /]+)", label) for label in labels]
    start = "".join(_shared(words))
    end = "".join(reversed(_shared([line[::-1] for line in words])))
    return start.strip("-_. /") or end.strip("-_. /") or f"{labels[0]} and repeats"


def _shared(lines: Sequence[Sequence[str]]) -> list[str]:
    """The words that all lines begin with."""
    return [words[0] for words in takewhile(lambda words: len(set(words)) == 1, zip(*lines, strict=False))]


def _without_seed(run: Run) -> str:
    recipe = {k: v for k, v in flat(run.recipe or {}) if k not in (*OWN_KEYS, "training.seed")}
    return json.dumps(recipe, sort_keys=True)
