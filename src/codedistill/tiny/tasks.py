"""From a composition of pieces to a task: instruction, signature with docstring, solution and tests.

A composition's `key` names its pieces without their constants. Tasks are held out by key, so a held-out task is a
combination of pieces that training never shows, and not only one with other constants.
"""

from __future__ import annotations

import hashlib
import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codedistill.tiny.inputs import draw_argument
from codedistill.tiny.pieces import MAPS, NUMBER, PREDICATES, REDUCTIONS, SOURCES, Map, Predicate, Reduction, Source

HELD_OUT_SHARE = 10
"""One key in this many is held out."""

TESTS_PER_TASK = 8


@dataclass(frozen=True)
class Composition:
    """Pieces and their constants. `otherwise` makes the map conditional: map if predicate else otherwise."""

    source: Source
    predicate: Predicate | None
    second: Predicate | None
    map: Map | None
    otherwise: Map | None
    reduction: Reduction
    constants: tuple[str, str, str, str, str]  # of predicate, second, map, otherwise, reduction

    @property
    def key(self) -> str:
        """The pieces without their constants: the unit of holding out."""
        pieces = (self.source, self.predicate, self.second, self.map, self.otherwise, self.reduction)
        return "/".join(piece.key if piece else "-" for piece in pieces)

    @property
    def identity(self) -> str:
        """Pieces and constants. Two tasks of the same identity differ only in words and names."""
        return self.key + "|" + ",".join(self.constants)


@dataclass(frozen=True)
class Task:
    """One task in words and code. `solution` is a whole function without a docstring."""

    composition: Composition
    entry_point: str
    argument: str
    description: str
    solution: str

    @property
    def prompt(self) -> str:
        """Signature and docstring, as HumanEval's `prompt`."""
        lines = textwrap.wrap(self.description, 96)
        doc = "\n    ".join(lines)
        return f'def {self.entry_point}({self.argument}):\n    """{doc}"""\n'

    @property
    def body(self) -> str:
        """The solution without its first line."""
        return self.solution.split("\n", 1)[1]


def is_held_out(key: str) -> bool:
    """Whether tasks of this key are excluded from all training data. Depends only on the key."""
    return hashlib.sha256(key.encode()).digest()[0] * HELD_OUT_SHARE < 256


def draw_composition(rng: random.Random) -> Composition:
    """One random composition of pieces that fit together."""
    source = rng.choice(SOURCES)
    signed = source.key in ("list", "dict_values")
    predicates = [p for p in PREDICATES if p.kind == source.kind and (signed or not p.signed)]
    maps = [m for m in MAPS if m.kind == source.kind and (signed or not m.signed)]
    predicate = second = mapping = otherwise = None
    shape = rng.random()
    if shape < 0.45:
        predicate, mapping = rng.choice(predicates), rng.choice(maps)
    elif shape < 0.6:
        predicate = rng.choice(predicates)
    elif shape < 0.72:
        mapping = rng.choice(maps)
    elif shape < 0.85:
        predicate, second = rng.sample(predicates, 2)
    else:
        predicate = rng.choice(predicates)
        mapping, otherwise = rng.sample([m for m in maps if m.gives == m.kind], 2)
    kind = mapping.gives if mapping else source.kind
    reduction = rng.choice([r for r in REDUCTIONS if kind in r.kinds and (mapping or r.key != "mapping")])
    pieces = (predicate, second, mapping, otherwise, reduction)
    constants: Any = tuple(rng.choice(piece.constants) if piece else "" for piece in pieces)  # five, as typed
    return Composition(source, predicate, second, mapping, otherwise, reduction, constants)


def draw_task(rng: random.Random, held_out: bool) -> Task:
    """One random task whose composition is held out, or one whose composition is not."""
    while True:
        composition = draw_composition(rng)
        if is_held_out(composition.key) == held_out:
            return write_task(composition, rng)


def write_task(composition: Composition, rng: random.Random) -> Task:
    """Words, names and code style for a composition, drawn from `rng`."""
    argument = rng.choice(composition.source.arguments)
    names = ("x", "v", "i") if composition.source.kind == NUMBER else ("x", "w", "s")
    description = describe(composition, argument, rng)
    entry_point = _entry_point(composition, rng)
    code = solve(composition, argument, rng.choice(names), loop=rng.random() < 0.5)
    solution = f"def {entry_point}({argument}):\n{textwrap.indent(code, '    ')}"
    return Task(composition, entry_point, argument, description, solution)


def describe(c: Composition, argument: str, rng: random.Random) -> str:
    """The instruction in words, in one of several wordings."""
    wordings: tuple[str, ...]
    source = rng.choice(c.source.of).format(a=argument)
    those = _those(c, "plural")
    result = rng.choice(c.reduction.words).format(k=c.constants[4])
    if c.otherwise and c.map and c.predicate:
        verb = f"{_verb(c, 2, 'each')} if {_those(c, 'singular', who='it')}, otherwise {_verb(c, 3, 'it')}"
        wordings = (
            f"For {source}, {verb}. Return {result}.",
            f"Take {source}; {verb}; then return {result}.",
            f"Return {result} after going through {source}: {verb}.",
        )
    elif c.map and c.predicate:
        wordings = (
            f"Keep those of {source} that {those}, {_verb(c, 2, 'each')} and return {result}.",
            f"From {source} take only those that {those}. {_verb(c, 2, 'each of them').capitalize()}. Return {result}.",
            f"Go through {source}; {_verb(c, 2, 'those')} that {those}; give back {result}."
            if c.map.verb.endswith("{o}")
            else f"Go through {source}; where they {those}, {_verb(c, 2, 'them')}; give back {result}.",
            f"Return {result} after you {_verb(c, 2, 'each one')} among {source} that {those}.",
        )
    elif c.map:
        wordings = (
            f"{_verb(c, 2, 'each').capitalize()} of {source} and return {result}."
            if c.map.verb.endswith("{o}")
            else f"For {source}, {_verb(c, 2, 'each')} and return {result}.",
            f"Go through {source} and {_verb(c, 2, 'every one')}. Return {result}.",
            f"Take {source}, {_verb(c, 2, 'each')}, then give back {result}.",
        )
    else:
        wordings = (
            f"Keep those of {source} that {those} and return {result}.",
            f"From {source} select the ones that {those}. Return {result}.",
            f"Go through {source}, ignore all but those that {those}, and give back {result}.",
        )
    return rng.choice(wordings)


def solve(c: Composition, argument: str, x: str, loop: bool) -> str:
    """The body of the reference solution, as a loop or, if the reduction has both styles, as one expression."""
    iterate = c.source.iterate.format(a=argument)
    condition = "" if c.otherwise else _condition(c, x)
    expression = _expression(c, x)
    constant = c.constants[4]
    if c.reduction.compact and (not loop or not c.reduction.start):
        generator = f"{expression} for {x} in {iterate}" + (f" if {condition}" if condition else "")
        return "return " + c.reduction.compact.format(g=generator, x=x, k=constant)
    step = c.reduction.step.format(e=expression, x=x, k=constant)
    if condition:
        step = f"if {condition}:\n{textwrap.indent(step, '    ')}"
    start, end = (part.format(k=constant) for part in (c.reduction.start, c.reduction.end))
    return f"{start}\nfor {x} in {iterate}:\n{textwrap.indent(step, '    ')}\n{end}"


def draw_tests(task: Task, rng: random.Random) -> list[tuple[object, object]] | None:
    """Pairs of argument and expected result, or None if the tests cannot tell the task from a simpler one.

    Every piece must matter: without the predicate, or without the map, some result must change.
    """
    arguments = [draw_argument(task.composition.source.key, rng, size) for size in range(TESTS_PER_TASK)]
    expected = [_run(task.solution, task.entry_point, argument) for argument in arguments]
    if len({repr(value) for value in expected}) < (2 if task.composition.reduction.key == "over" else 4):
        return None
    for simpler in _simpler(task.composition):
        function = f"def f({task.argument}):\n" + textwrap.indent(
            solve(simpler, task.argument, "x_", loop=True), "    "
        )
        if [_run(function, "f", argument) for argument in arguments] == expected:
            return None
    return list(zip(arguments, expected, strict=True))


def _simpler(c: Composition) -> list[Composition]:
    constants = c.constants
    found = []
    if c.otherwise:
        found.append(Composition(c.source, None, None, c.map, None, c.reduction, constants))
        found.append(
            Composition(c.source, None, None, c.otherwise, None, c.reduction, ("", "", constants[3], "", constants[4]))
        )
    elif c.second:
        found.append(Composition(c.source, c.predicate, None, c.map, None, c.reduction, constants))
        found.append(Composition(c.source, c.second, None, c.map, None, c.reduction, (constants[1], *constants[1:])))
    elif c.predicate:
        found.append(Composition(c.source, None, None, c.map, None, c.reduction, constants))
    if c.map and not c.otherwise and c.reduction.key != "count":
        found.append(Composition(c.source, c.predicate, c.second, None, None, c.reduction, constants))
    return found


def _run(code: str, name: str, argument: object) -> object:
    namespace: dict[str, Callable[[object], object]] = {}
    exec(code, namespace)
    try:
        return namespace[name](argument)
    except (TypeError, ValueError) as error:  # a simpler variant may mix types; that is a different result too
        return error.__class__


def _verb(c: Composition, index: int, target: str) -> str:
    piece = c.map if index == 2 else c.otherwise
    assert piece is not None
    return piece.verb.format(o=target, k=c.constants[index])


def _those(c: Composition, number: str, who: str = "") -> str:
    pairs = ((c.predicate, c.constants[0]), (c.second, c.constants[1]))
    clauses = [getattr(p, number).format(k=k) for p, k in pairs if p]
    return (who + " " if who else "") + " and ".join(clauses)


def _condition(c: Composition, x: str) -> str:
    pairs = ((c.predicate, c.constants[0]), (c.second, c.constants[1]))
    return " and ".join(p.code.format(x=x, k=k) for p, k in pairs if p)


def _expression(c: Composition, x: str) -> str:
    plain = c.map.code.format(x=x, k=c.constants[2]) if c.map else x
    if c.otherwise is None:
        return plain
    return f"{plain} if {_condition(c, x)} else {c.otherwise.code.format(x=x, k=c.constants[3])}"


def _entry_point(c: Composition, rng: random.Random) -> str:
    middle = [piece.key for piece in (c.predicate, c.map) if piece]
    return f"{c.reduction.key}_{rng.choice(middle)}"
