"""Rows of benchmark files as problems. The fields of the first row determine the format.

humaneval   task_id, prompt, entry_point, test, canonical_solution, optionally instruction; HumanEval+ on the hub
evalplus    base_input, plus_input, contract and atol instead of test: HumanEval+ and MBPP+ as released
mbpp        task_id, text, code, test_list, test_setup_code
mbppplus    MBPP+ on the hub: task_id, prompt, code, test_list and a script `test`
"""

from __future__ import annotations

import ast
import re
import symtable
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codedistill.benchmarks.evalplus.arguments import cases_of, comparison_of, read_inputs
from codedistill.benchmarks.extraction.syntax import DEFINITIONS, parse, parse_prompt, prepend, text_of
from codedistill.benchmarks.problems import Cases, Problem
from codedistill.errors import UserError

Row = Mapping[str, Any]

TYPES: dict[type, str] = {str: "text", int: "a number", list: "a list", dict: "an object"}


@dataclass(frozen=True)
class Format:
    """`problem` and `reference` read one row; `fields` are its required fields with their types.

    `reference` returns None for a row without a reference solution.
    """

    fields: Mapping[str, tuple[type, ...]]
    problem: Callable[[Row], Problem]
    reference: Callable[[Row], str | None]

    def check(self, row: Row, where: str) -> None:
        """Raises UserError for a row without its fields."""
        for field, kinds in self.fields.items():
            if not isinstance(row.get(field), kinds):
                names = " or ".join(TYPES[kind] for kind in kinds)
                has = f"is a {type(row[field]).__name__}" if field in row else "is missing"
                raise UserError(f"{where}: {field} {has}, needs to be {names}; a row has {', '.join(self.fields)}")


def format_of(row: Row) -> Format:
    """The format of a file with this first row."""
    if "base_input" in row or "plus_input" in row:
        return FORMATS["evalplus"]
    if "test_list" in row:
        return FORMATS["mbppplus" if "test" in row else "mbpp"]
    return FORMATS["humaneval"]


def task_id_of(row: Row) -> str:
    """MBPP numbers its tasks; elsewhere the family's name precedes the number."""
    return f"Mbpp/{row['task_id']}" if isinstance(row["task_id"], int) else str(row["task_id"])


def _humaneval(row: Row) -> Problem:
    task_id, prompt, entry = row["task_id"], row["prompt"], row["entry_point"]
    cases = cases_of(row["test"], task_id, entry)
    checks = with_helpers(row["test"], prompt, entry.split("(")[0]) if cases is None else ""
    return Problem(task_id, prompt, entry, checks, row.get("instruction"), cases=cases)


def _humaneval_reference(row: Row) -> str | None:
    solution = row.get("canonical_solution")
    return str(row["prompt"]) + solution if isinstance(solution, str) else None


def _evalplus(row: Row) -> Problem:
    task_id, entry, prompt = task_id_of(row), row["entry_point"], row["prompt"]
    cases = Cases(
        read_inputs(task_id, row["base_input"]),
        read_inputs(task_id, list(row["plus_input"])),
        row.get("contract") or "",
        float(row.get("atol") or 0),
        comparison_of(task_id, entry),
    )
    if _function(parse_prompt(prompt), entry) is None:
        tests = [line for line in (row.get("assertion") or "").split("\n") if line.strip()]
        text = prompt.strip().strip("'\"").strip()
        prompt = as_humaneval_prompt(row["canonical_solution"], entry, text, tests if "assert" not in text else [])
    return Problem(task_id, prompt, entry, "", row.get("instruction"), cases=cases)


def _evalplus_reference(row: Row) -> str:
    solution = str(row["canonical_solution"])
    is_whole = _function(parse_prompt(solution), row["entry_point"]) is not None
    return solution if is_whole else str(row["prompt"]) + solution


def _mbpp(row: Row) -> Problem:
    """MBPP, and MBPP+ of the hub, in which a script `test` takes the place of the tests."""
    task_id, code, tests = task_id_of(row), unix_lines(row["code"]), [unix_lines(test) for test in row["test_list"]]
    entry = entry_point_of(code, tests)
    if "test" in row:
        text, script = row["prompt"], unix_lines(row["test"])
        cases = cases_of(script, task_id, entry)
    else:
        setup = [row.get("test_setup_code") or "", *(row.get("test_imports") or [])]
        text = row["text"] if isinstance(row.get("text"), str) else row["prompt"]
        script, cases = "\n".join([*map(unix_lines, setup), *tests]).strip("\n"), None
    checks = as_check(script, entry) if cases is None else ""
    return Problem(task_id, as_humaneval_prompt(code, entry, text.strip(), tests), entry, checks, cases=cases)


def _mbpp_reference(row: Row) -> str:
    return unix_lines(row["code"])


def unix_lines(text: str) -> str:
    """The text with \\n as line end. MBPP's data has \\r\\n, which would end up in strings."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


ID, TEXT, LIST = (str, int), (str,), (list,)
FORMATS = {
    "humaneval": Format(
        {"task_id": TEXT, "prompt": TEXT, "entry_point": TEXT, "test": TEXT}, _humaneval, _humaneval_reference
    ),
    "evalplus": Format(
        {
            "task_id": ID,
            "prompt": TEXT,
            "entry_point": TEXT,
            "canonical_solution": TEXT,
            "base_input": LIST,
            "plus_input": (list, dict),  # one task of MBPP+ has an empty object
        },
        _evalplus,
        _evalplus_reference,
    ),
    "mbpp": Format({"task_id": ID, "code": TEXT, "test_list": LIST}, _mbpp, _mbpp_reference),
    "mbppplus": Format(
        {"task_id": ID, "prompt": TEXT, "code": TEXT, "test_list": LIST, "test": TEXT}, _mbpp, _mbpp_reference
    ),
}


def entry_point_of(code: str, tests: list[str]) -> str:
    """The first function of the reference that the tests call.

    Raises:
        UserError: they call none.
    """
    tree = parse(code)
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)} if tree else set()
    for test in tests:
        for node in ast.walk(parse(test) or ast.Module([], [])):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
                return node.func.id
    raise UserError("test_list calls no function that code defines")


def as_humaneval_prompt(reference: str, entry_point: str, text: str, tests: list[str]) -> str:
    """A prompt in HumanEval's form: the signature, and the text with the tests as docstring.

    The parameters lose their annotations. Defaults that use other names become None.
    """
    function, parameters = _function(parse(reference), entry_point), ["*args"]
    if function is not None:
        arguments = function.args
        parameters = [argument.arg for argument in [*arguments.posonlyargs, *arguments.args]]
        for place, value in enumerate(arguments.defaults, len(parameters) - len(arguments.defaults)):
            uses_names = any(isinstance(node, ast.Name) for node in ast.walk(value))
            parameters[place] += "=None" if uses_names else f"={ast.unparse(value)}"
        parameters += [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    doc = text if not tests else f"{text}\n\n" + "\n".join(tests)
    doc = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    closing = "\n" if "\n" in doc or doc.endswith('"') else ""
    body = textwrap.indent(f'"""{doc}{closing}', "    ") + ("    " if closing else "") + '"""'
    return f"def {entry_point}({', '.join(parameters)}):\n{body}\n"


def _function(tree: ast.Module | None, name: str) -> ast.FunctionDef | None:
    """The last definition of a function at the top level."""
    found = [node for node in (tree.body if tree else []) if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


def as_check(script: str, entry_point: str) -> str:
    """A script of tests as `check(candidate)`, in which the function has its own name."""
    tree = parse(script) if re.search(r'"""|\'\'\'|\\\n', script) else None
    body = script if tree is None else ast.unparse(tree)  # indenting the text would change its strings
    return f"def check(candidate):\n    {entry_point} = candidate\n{textwrap.indent(body, '    ')}\n"


def with_helpers(checks: str, prompt: str, name: str) -> str:
    """The checks after those definitions of the prompt that they use, and the imports that these need.

    Three tasks of HumanEval compare outputs with a function of their prompt. Without a copy of their own the checks
    would use the program's, and a program could replace it by one that always returns 0.
    """
    tree, using = parse_prompt(prompt), parse(checks)
    try:
        symbols = symtable.symtable(checks, "<checks>", "exec").get_symbols()
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        using = None
    if using is None:  # they do not compile: the sandbox reports it
        return checks
    definitions = {
        defined: node
        for node in (tree.body if tree else [])
        for defined in _defined(node)
        if defined not in (name, "annotations")
    }
    bound = {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}
    needed: list[ast.stmt] = []
    waiting = sorted(_used(using) - bound)
    while waiting:
        node = definitions.pop(waiting.pop(), None)
        if node is not None and node not in needed:
            needed.append(node)
            waiting += sorted(_used(node))
    lines = prompt.split("\n")
    texts = [text_of(node, lines) for node in sorted(needed, key=lambda node: node.lineno)]
    return prepend("\n\n".join(texts) + "\n\n", checks) if texts else checks


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module binds."""
    if isinstance(node, DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]


def _used(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
