"""From a composition of pieces to a task: instruction, signature with docstring, solution and tests.

A composition's `key` names its pieces without their constants. Tasks are held out by key, so a held-out task is a
combination of pieces that training never shows, and not only one with other constants.
"""

from __future__ import annotations

import hashlib
import random
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from codedistill.tiny.pieces import MAPS, NUMBER, PREDICATES, REDUCTIONS, SOURCES, Map, Predicate, Reduction, Source

HELD_OUT_SHARE = 10
"""One key in this many is held out."""

TESTS_PER_TASK = 8

_WORDS = (
    "a ant apple arena banana bed blue bread cat civic cloud deed desk dinner door dream eel ember eve figs "
    "garden green hat idea iron island kayak kid lamp lemon level linen madam map melon mint moon noon open "
    "orange pear pine plate pop radar rain red river road rotor salt sand sea seed silver stone storm sun table "
    "tent time toast tree Up Island Moon Apple window winter Tree"
)
LEXICON = _WORDS.split()


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
        doc = "\n    ".join(textwrap.wrap(self.description, 96))
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
    middle = [piece.key for piece in (composition.predicate, composition.map) if piece]
    entry_point = f"{composition.reduction.key}_{rng.choice(middle)}"
    code = solve(composition, argument, rng.choice(names), loop=rng.random() < 0.5)
    solution = f"def {entry_point}({argument}):\n{textwrap.indent(code, '    ')}"
    return Task(composition, entry_point, argument, description, solution)


def describe(c: Composition, argument: str, rng: random.Random) -> str:
    """The instruction in words, in one of several wordings."""
    constants = c.constants

    def verb(target: str) -> str:
        return c.map.verb.format(o=target, k=constants[2]) if c.map else ""

    source = rng.choice(c.source.of).format(a=argument)
    conditions = [(p, k) for p, k in ((c.predicate, constants[0]), (c.second, constants[1])) if p]
    those = " and ".join(p.plural.format(k=k) for p, k in conditions)
    result = rng.choice(c.reduction.words).format(k=constants[4])
    ends_in_object = bool(c.map and c.map.verb.endswith("{o}"))
    wordings: tuple[str, ...]
    if c.otherwise and c.map and c.predicate:
        condition = " and ".join(p.singular.format(k=k) for p, k in conditions)
        change = f"{verb('each')} if it {condition}, otherwise {c.otherwise.verb.format(o='it', k=constants[3])}"
        wordings = (
            f"For {source}, {change}. Return {result}.",
            f"Take {source}; {change}; then return {result}.",
            f"Return {result} after going through {source}: {change}.",
        )
    elif c.map and c.predicate:
        wordings = (
            f"Keep those of {source} that {those}, {verb('each')} and return {result}.",
            f"From {source} take only those that {those}. {verb('each of them').capitalize()}. Return {result}.",
            f"Go through {source}; {verb('those')} that {those}; give back {result}."
            if ends_in_object
            else f"Go through {source}; where they {those}, {verb('them')}; give back {result}.",
            f"Return {result} after you {verb('each one')} among {source} that {those}.",
        )
    elif c.map:
        wordings = (
            f"{verb('each').capitalize()} of {source} and return {result}."
            if ends_in_object
            else f"For {source}, {verb('each')} and return {result}.",
            f"Go through {source} and {verb('every one')}. Return {result}.",
            f"Take {source}, {verb('each')}, then give back {result}.",
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
    iterate, constant = c.source.iterate.format(a=argument), c.constants[4]
    pairs = ((c.predicate, c.constants[0]), (c.second, c.constants[1]))
    condition = " and ".join(p.code.format(x=x, k=k) for p, k in pairs if p)
    expression = c.map.code.format(x=x, k=c.constants[2]) if c.map else x
    if c.otherwise:
        expression = f"{expression} if {condition} else {c.otherwise.code.format(x=x, k=c.constants[3])}"
        condition = ""
    if c.reduction.compact and (not loop or not c.reduction.start):
        generator = f"{expression} for {x} in {iterate}" + (f" if {condition}" if condition else "")
        return "return " + c.reduction.compact.format(g=generator, x=x, k=constant)
    step = c.reduction.step.format(e=expression, x=x, k=constant)
    if condition:
        step = f"if {condition}:\n{textwrap.indent(step, '    ')}"
    start, end = (part.format(k=constant) for part in (c.reduction.start, c.reduction.end))
    return f"{start}\nfor {x} in {iterate}:\n{textwrap.indent(step, '    ')}\n{end}"


def draw_argument(source: str, rng: random.Random, size: int) -> object:
    """One argument for a function over `source`. `size` 0 is the empty case; larger sizes give longer arguments."""
    count = 0 if size == 0 else size + rng.randint(0, 3)
    match source:
        case "list":
            return [rng.randint(-12, 25) for _ in range(count)]
        case "range":
            return 0 if size == 0 else rng.randint(1, 6 + 3 * size)
        case "digits":
            return 0 if size == 0 else rng.randint(10**size, 10 ** (size + 1) - 1)
        case "dict_values" | "dict_keys":
            return {rng.choice(LEXICON): rng.randint(-9, 25) for _ in range(count)}
        case "words":
            return [rng.choice(LEXICON) for _ in range(count)]
        case "split":
            return " ".join(rng.choice(LEXICON) for _ in range(count))
    raise KeyError(source)


def draw_tests(task: Task, rng: random.Random) -> list[tuple[object, object]] | None:
    """Pairs of argument and expected result, or None if the tests cannot tell the task from a simpler one.

    Every piece must matter: without the predicate, or without the map, some result must change.
    """
    arguments = [draw_argument(task.composition.source.key, rng, size) for size in range(TESTS_PER_TASK)]
    expected = [_run(task.solution, task.entry_point, argument) for argument in arguments]
    if len({repr(value) for value in expected}) < (2 if task.composition.reduction.key == "over" else 4):
        return None
    for simpler in _simpler(task.composition):
        body = textwrap.indent(solve(simpler, task.argument, "x_", loop=True), "    ")
        if [_run(f"def f({task.argument}):\n{body}", "f", argument) for argument in arguments] == expected:
            return None
    return list(zip(arguments, expected, strict=True))


def _simpler(c: Composition) -> list[Composition]:
    """The composition without its predicate, without one of its two predicates, or without its map."""
    _, of_second, of_map, of_otherwise, of_reduction = c.constants
    plain = replace(c, predicate=None, second=None, otherwise=None)
    found = []
    if c.otherwise:
        constants = ("", "", of_otherwise, "", of_reduction)
        found += [plain, replace(plain, map=c.otherwise, constants=constants)]
    elif c.second:
        constants = (of_second, of_second, of_map, of_otherwise, of_reduction)
        found += [replace(c, second=None), replace(c, predicate=c.second, second=None, constants=constants)]
    elif c.predicate:
        found.append(plain)
    if c.map and not c.otherwise and c.reduction.key != "count":
        found.append(replace(c, map=None))
    return found


def _run(code: str, name: str, argument: object) -> object:
    """The value of the function for an argument, or the class of its error: a simpler variant may mix types."""
    namespace: dict[str, Callable[[object], object]] = {}
    exec(code, namespace)
    try:
        return namespace[name](argument)
    except (TypeError, ValueError) as error:
        return error.__class__
