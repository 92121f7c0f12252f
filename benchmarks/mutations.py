"""Seeded mutations of HumanEval's reference solutions: one change of the text each, where the syntax tree says so."""

from __future__ import annotations

import ast
import io
import random
import tokenize
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Mutant:
    task_id: str
    kind: str
    source: str


@dataclass(frozen=True)
class Edit:
    """Bytes start to end of the text become `new`."""

    start: int
    end: int
    new: str


class Program:
    """A reference solution. `nodes` are those of the entry point behind the prompt; positions are bytes of `data`."""

    def __init__(self, row: Row) -> None:
        self.task_id: str = row["task_id"]
        self.text = row["prompt"] + row["canonical_solution"]
        self.data = self.text.encode()
        self.after = len(row["prompt"].encode())
        self.starts = list(accumulate((len(line) for line in self.data.splitlines(keepends=True)), initial=0))
        tree = ast.parse(self.text)
        found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == row["entry_point"]]
        self.function = found[-1]
        self.imports = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
        self.nodes = [
            n for n in ast.walk(self.function) if isinstance(n, ast.stmt | ast.expr) and self.at(n)[0] >= self.after
        ]
        self.tokens = list(tokenize.generate_tokens(io.StringIO(self.text).readline))

    def at(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.stmt | ast.expr) -> str:
        start, end = self.at(node)
        return str(self.data[start:end], "utf-8")

    def all(self, *kinds: type) -> list[Any]:
        return [node for node in self.nodes if isinstance(node, kinds)]

    def statements(self) -> list[ast.stmt]:
        """Those that stand alone on their lines."""
        own = [n for n in self.all(ast.stmt) if n.col_offset and not self.line_of(n)[: n.col_offset].strip()]
        return [n for n in own if not isinstance(n, ast.FunctionDef)]

    def line_of(self, node: ast.stmt) -> bytes:
        return bytes(self.data[self.starts[node.lineno - 1] : self.starts[node.lineno]])

    def between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> list[Edit]:
        """The operator `old` between two operands."""
        start, end = self.at(left)[1], self.at(right)[0]
        found = self.data[start:end].find(old.encode())
        return [Edit(start + found, start + found + len(old), new)] if found >= 0 else []

    def token_edits(self, wanted: Callable[[tokenize.TokenInfo], str | None]) -> list[Edit]:
        """`wanted` says what a token behind the prompt becomes, None where it stays."""
        edits = []
        for token in self.tokens:
            line = token.line.splitlines(keepends=True)[0] if token.line else ""
            start = self.starts[token.start[0] - 1] + len(line[: token.start[1]].encode())
            new = wanted(token) if start >= self.after else None
            if new is not None:
                edits.append(Edit(start, start + len(token.string.encode()), new))
        return edits


Mutation = Callable[[Program], list[Edit]]

ARITHMETIC = {ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "+"), ast.Div: ("/", "//"), ast.Mod: ("%", "*")}
FLIPS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"),
}  # fmt: skip


def arithmetic(p: Program) -> list[Edit]:
    pairs = [(n, ARITHMETIC.get(type(n.op))) for n in p.all(ast.BinOp)]
    return [edit for n, pair in pairs if pair for edit in p.between(n.left, n.right, *pair)]


def comparison(p: Program) -> list[Edit]:
    pairs = [(n, FLIPS.get(type(n.ops[0]))) for n in p.all(ast.Compare)]
    return [edit for n, pair in pairs if pair for edit in p.between(n.left, n.comparators[0], *pair)]


def boolean(p: Program) -> list[Edit]:
    swapped = {ast.And: ("and", "or"), ast.Or: ("or", "and")}
    return [e for n in p.all(ast.BoolOp) for e in p.between(n.values[0], n.values[1], *swapped[type(n.op)])]


def negated(p: Program) -> list[Edit]:
    return [Edit(*p.at(n.test), f"(not ({p.of(n.test)}))") for n in p.all(ast.If, ast.IfExp)]


def off_by_one(p: Program) -> list[Edit]:
    numbers = [n for n in p.all(ast.Constant) if type(n.value) is int]
    return [Edit(*p.at(n), f"({n.value}{sign}1)") for n in numbers for sign in "+-"]


def removed(p: Program) -> list[Edit]:
    return [Edit(*p.at(n), "pass") for n in p.statements()]


def duplicated(p: Program) -> list[Edit]:
    simple = [n for n in p.statements() if n.lineno == n.end_lineno]
    return [Edit(p.at(n)[1], p.at(n)[1], "\n" + " " * n.col_offset + p.of(n)) for n in simple]


def swapped_arguments(p: Program) -> list[Edit]:
    calls = [n.args for n in p.all(ast.Call) if len(n.args) > 1 and not isinstance(n.args[1], ast.Starred)]
    spans = [(p.at(a)[0], p.at(b)[1], f"{p.of(b)}, {p.of(a)}") for a, b, *_ in calls]
    return [Edit(*span) for span in spans]


def swapped_statements(p: Program) -> list[Edit]:
    blocks = [
        b
        for n in [p.function, *p.all(ast.For, ast.While, ast.If)]
        for b in (n.body, n.orelse if n is not p.function else [])
    ]
    known = {id(n) for n in p.statements()}
    pairs = [(a, b) for block in blocks for a, b in pairwise(block) if id(a) in known and id(b) in known]
    return [Edit(p.at(a)[0], p.at(b)[1], f"{p.of(b)}\n{' ' * a.col_offset}{p.of(a)}") for a, b in pairs]


def renamed(p: Program) -> list[Edit]:
    return [Edit(*p.at(n), f"{n.id}_value") for n in p.all(ast.Name) if isinstance(n.ctx, ast.Load)]


def returned(new: str) -> Mutation:
    return lambda p: [Edit(*p.at(n.value), new) for n in p.all(ast.Return) if n.value]


def body(new: str) -> Mutation:
    return lambda p: [Edit(p.after, len(p.data), new.format(name=p.function.name))]


def removed_import(p: Program) -> list[Edit]:
    return [Edit(*p.at(n), "pass") for n in p.imports]


def bracket(p: Program) -> list[Edit]:
    return p.token_edits(lambda token: "" if token.string in tuple("()[]{}") else None)


def quote(p: Program) -> list[Edit]:
    return p.token_edits(lambda token: token.string[:-1] if token.type == tokenize.STRING else None)


def colon(p: Program) -> list[Edit]:
    return p.token_edits(lambda token: "" if token.string == ":" else None)


def indentation(p: Program) -> list[Edit]:
    edits = [Edit(p.at(n)[0], p.at(n)[0], " ") for n in p.statements()]
    return edits + [Edit(p.at(n)[0] - 1, p.at(n)[0], "") for n in p.statements()]


def tab(p: Program) -> list[Edit]:
    return [Edit(p.at(n)[0] - n.col_offset, p.at(n)[0], "\t") for n in p.statements()]


def increment(p: Program) -> list[Edit]:
    inside = [n for loop in p.all(ast.While) for n in ast.walk(loop) if isinstance(n, ast.AugAssign | ast.Assign)]
    return [Edit(*p.at(n), "pass") for n in inside]


def recursion_base(p: Program) -> list[Edit]:
    calls = any(isinstance(n.func, ast.Name) and n.func.id == p.function.name for n in p.all(ast.Call))
    return [Edit(*p.at(n.test), "False") for n in p.all(ast.If) if calls]


def inserted(new: str) -> Mutation:
    return lambda p: [Edit(p.at(n)[0], p.at(n)[0], f"{new}\n{' ' * n.col_offset}") for n in p.statements()]


def attribute(p: Program) -> list[Edit]:
    return [Edit(p.at(n)[1], p.at(n)[1], "_all") for n in p.all(ast.Attribute)]


def called(p: Program) -> list[Edit]:
    return [Edit(*p.at(n.func), f"my_{n.func.id}") for n in p.all(ast.Call) if isinstance(n.func, ast.Name)]


def index(p: Program) -> list[Edit]:
    plain = [n for n in p.all(ast.Subscript) if not isinstance(n.slice, ast.Slice | ast.Tuple)]
    return [Edit(*p.at(n.slice), f"({p.of(n.slice)}) + 99") for n in plain]


def text(p: Program) -> list[Edit]:
    return [Edit(*p.at(n), repr(n.value + "x")) for n in p.all(ast.Constant) if isinstance(n.value, str)]


def unassigned(p: Program) -> list[Edit]:
    """The first assignment of a variable that has another."""
    assigned = [n for n in p.all(ast.Assign) if isinstance(n.targets[0], ast.Name)]
    again = {n.target.id for n in p.all(ast.AugAssign) if isinstance(n.target, ast.Name)}
    return [Edit(*p.at(n), "pass") for n in assigned if n.targets[0].id in again]


def truncated(p: Program) -> list[Edit]:
    return [Edit(at, len(p.data), "") for at in range(p.after + 1, len(p.data.rstrip()))]


def function_name(p: Program) -> list[Edit]:
    start = p.at(p.function)[0] + len("def ")
    return [Edit(start, start + len(p.function.name), f"my_{p.function.name}")]


def fence(p: Program) -> list[Edit]:
    return [Edit(len(p.data), len(p.data), "\n```\nThis function works as described.\n")]


def further_function(p: Program) -> list[Edit]:
    return [Edit(len(p.data), len(p.data), "\n\ndef further(values):\n    return [value for value in values if\n")]


INSERTED = {
    "raise ValueError": 'raise ValueError("bad input")',
    "raise KeyError": 'raise KeyError("missing")',
    "raise NotImplementedError": "raise NotImplementedError",
    "own assert": "assert False",
    "nothing's maximum": "max([])",
    "text as a number": 'int("seven")',
    "index of nothing": "[][0]",
    "key of nothing": "{}['a']",
    "None and a number": "None + 1",
    "division by zero": "1 // 0",
    "unknown module": "import no_such_module",
    "file": 'open("/nowhere/file")',
    "sys.exit": "import sys; sys.exit()",
    "os._exit": "import os; os._exit(0)",
    "print": 'print("looking at", 1)',
    "input": "input()",
    "two GiB": "bytes(2**31)",
    "deep recursion": "(lambda f: f(f))(lambda f: f(f))",
    "endless loop": "while True: pass",
    "sleep": "import time; time.sleep(60)",
}

MUTATIONS: dict[str, Mutation] = {
    "arithmetic operator": arithmetic,
    "comparison flipped": comparison,
    "and for or": boolean,
    "condition negated": negated,
    "constant off by one": off_by_one,
    "statement removed": removed,
    "statement duplicated": duplicated,
    "arguments swapped": swapped_arguments,
    "statements swapped": swapped_statements,
    "variable renamed": renamed,
    "None returned": returned("None"),
    "zero returned": returned("0"),
    "text returned": returned("''"),
    "body is pass": body("    pass\n"),
    "body is a comment": body("    # TODO\n"),
    "no body": body(""),
    "body calls itself": body("    return {name}(*locals().values())\n"),
    "import removed": removed_import,
    "bracket deleted": bracket,
    "quote deleted": quote,
    "colon deleted": colon,
    "indentation": indentation,
    "tab": tab,
    "increment removed": increment,
    "recursion without base": recursion_base,
    "wrong attribute": attribute,
    "unknown function called": called,
    "index off": index,
    "text constant": text,
    "assignment removed": unassigned,
    "truncated": truncated,
    "function renamed": function_name,
    "fence behind": fence,
    "cut function behind": further_function,
    **{f"inserted: {name}": inserted(new) for name, new in INSERTED.items()},
}


def make_mutants(rows: Sequence[Row], number: int, seed: int) -> list[Mutant]:
    """Kinds by turns; of the tasks with a place for a kind, one with the fewest mutants so far."""
    rng = random.Random(seed)
    programs = [Program(row) for row in rows]
    per_task: Counter[str] = Counter()
    left = {
        kind: {p.task_id: rng.sample(edits, len(edits)) for p in programs if (edits := mutation(p))}
        for kind, mutation in MUTATIONS.items()
    }
    by_id, seen = {p.task_id: p for p in programs}, {p.text for p in programs}
    mutants: list[Mutant] = []
    while len(mutants) < number and any(left.values()):
        for kind, places in left.items():
            while places:
                task = min(places, key=lambda task: (per_task[task], rng.random()))
                edit, program = places[task].pop(), by_id[task]
                if not places[task]:
                    del places[task]
                source = (program.data[: edit.start] + edit.new.encode() + program.data[edit.end :]).decode()
                if source not in seen:
                    seen.add(source)
                    per_task[task] += 1
                    mutants.append(Mutant(task, kind, source))
                    break
    return mutants[:number]
