"""Rows of benchmark files as problems. The fields of the first row determine the format.

humaneval   task_id, prompt, entry_point, test, canonical_solution, optionally instruction; HumanEval+ on the hub
evalplus    base_input, plus_input, contract and atol instead of test: HumanEval+ and MBPP+ as released
mbpp        task_id, text, code, test_list, test_setup_code
mbppplus    MBPP+ on the hub: task_id, prompt, code, test_list and a script `test`
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from codedistill.benchmarks.checks import with_helpers
from codedistill.benchmarks.evalplus.arguments import COMPARE, cases_of, read_inputs
from codedistill.benchmarks.extraction.syntax import parse, parse_prompt
from codedistill.benchmarks.problems import Cases, Problem
from codedistill.errors import UserError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """`problem` and `reference` read one row; `fields` are its required fields with their types.

    `reference` returns None for a row without a reference solution.
    """

    fields: Mapping[str, type | tuple[type, ...]]
    problem: Callable[[Row], Problem]
    reference: Callable[[Row], str | None]

    def check(self, row: Row, where: str) -> None:
        """Raises UserError for a row without its fields."""
        for field, kind in self.fields.items():
            if not isinstance(row.get(field), kind):
                names = " or ".join(NAMES[k] for k in (kind if isinstance(kind, tuple) else (kind,)))
                has = f"is a {type(row[field]).__name__}" if field in row else "is missing"
                raise UserError(f"{where}: {field} {has}, needs to be {names}; a row has {', '.join(self.fields)}")


NAMES: dict[type, str] = {str: "text", int: "a number", list: "a list", dict: "an object"}


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
    cases = cases_of(row["test"], _comparison(row["task_id"], row["entry_point"]))
    checks = with_helpers(row["test"], row["prompt"], row["entry_point"].split("(")[0]) if cases is None else ""
    return Problem(row["task_id"], row["prompt"], row["entry_point"], checks, row.get("instruction"), cases=cases)


def _comparison(task_id: str, entry_point: str) -> str:
    return COMPARE.get(task_id.partition("/")[0], {}).get(entry_point, "equal")


def _humaneval_reference(row: Row) -> str | None:
    solution = row.get("canonical_solution")
    return str(row["prompt"]) + solution if isinstance(solution, str) else None


def _evalplus(row: Row) -> Problem:
    task_id, entry = task_id_of(row), row["entry_point"]
    cases = Cases(
        read_inputs(task_id, row["base_input"]),
        read_inputs(task_id, list(row["plus_input"])),
        row.get("contract") or "",
        float(row.get("atol") or 0),
        _comparison(task_id, entry),
    )
    prompt = row["prompt"]
    if not has_function(prompt, entry):
        tests = [line for line in (row.get("assertion") or "").split("\n") if line.strip()]
        text = prompt.strip().strip("'\"").strip()
        prompt = as_humaneval_prompt(row["canonical_solution"], entry, text, tests if "assert" not in text else [])
    return Problem(task_id, prompt, entry, "", row.get("instruction"), cases=cases)


def _evalplus_reference(row: Row) -> str:
    solution = str(row["canonical_solution"])
    return solution if has_function(solution, row["entry_point"]) else str(row["prompt"]) + solution


def _mbpp(row: Row) -> Problem:
    code, tests = unix_lines(row["code"]), [unix_lines(test) for test in row["test_list"]]
    entry = entry_point_of(code, tests)
    setup = [row.get("test_setup_code") or "", *(row.get("test_imports") or [])]
    checks = as_check("\n".join([*map(unix_lines, setup), *tests]).strip("\n"), entry)
    text = row["text"] if isinstance(row.get("text"), str) else row["prompt"]
    return Problem(task_id_of(row), as_humaneval_prompt(code, entry, text.strip(), tests), entry, checks)


def _mbpp_reference(row: Row) -> str:
    return unix_lines(row["code"])


def _mbppplus(row: Row) -> Problem:
    code, tests = unix_lines(row["code"]), [unix_lines(test) for test in row["test_list"]]
    entry = entry_point_of(code, tests)
    task_id, script = task_id_of(row), unix_lines(row["test"])
    cases = cases_of(script, _comparison(task_id, entry))
    checks = as_check(script, entry) if cases is None else ""
    return Problem(task_id, as_humaneval_prompt(code, entry, row["prompt"].strip(), tests), entry, checks, cases=cases)


ID = (str, int)
FORMATS = {
    "humaneval": Format(
        {"task_id": str, "prompt": str, "entry_point": str, "test": str}, _humaneval, _humaneval_reference
    ),
    "evalplus": Format(
        {
            "task_id": ID,
            "prompt": str,
            "entry_point": str,
            "canonical_solution": str,
            "base_input": list,
            "plus_input": (list, dict),  # one task of MBPP+ has an empty object
        },
        _evalplus,
        _evalplus_reference,
    ),
    "mbpp": Format({"task_id": ID, "code": str, "test_list": list}, _mbpp, _mbpp_reference),
    "mbppplus": Format(
        {"task_id": ID, "prompt": str, "code": str, "test_list": list, "test": str}, _mbppplus, _mbpp_reference
    ),
}


def unix_lines(text: str) -> str:
    """The text with \\n as line end. MBPP's data has \\r\\n, which would end up in strings."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def has_function(code: str, name: str) -> bool:
    tree = parse_prompt(code)
    return tree is not None and _function(tree, name) is not None


def _function(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    return found[-1] if found else None


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
    """A prompt in HumanEval's form: the signature, and the text with the tests as docstring."""
    tree = parse(reference)
    function = _function(tree, entry_point) if tree else None
    parameters = "*args" if function is None else ", ".join(_names(function.args))
    doc = text if not tests else f"{text}\n\n" + "\n".join(tests)
    doc = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    closing = "\n" if "\n" in doc or doc.endswith('"') else ""
    body = textwrap.indent(f'"""{doc}{closing}', "    ") + ("    " if closing else "") + '"""'
    return f"def {entry_point}({parameters}):\n{body}\n"


def _names(arguments: ast.arguments) -> list[str]:
    """The parameters without annotations. Defaults that use other names become None."""
    plain = [a.arg for a in [*arguments.posonlyargs, *arguments.args]]
    defaults = arguments.defaults
    for place, value in enumerate(defaults, len(plain) - len(defaults)):
        names = [n for n in ast.walk(value) if isinstance(n, ast.Name)]
        plain[place] += "=None" if names else f"={ast.unparse(value)}"
    return [*plain, *([f"*{arguments.vararg.arg}"] if arguments.vararg else [])]


def as_check(script: str, entry_point: str) -> str:
    """A script of tests as `check(candidate)`, in which the function has its own name."""
    head = f"def check(candidate):\n    {entry_point} = candidate\n"
    if re.search(r'"""|\'\'\'|\\\n', script) is None:
        return head + textwrap.indent(script, "    ") + "\n"
    tree = parse(script)  # indenting the text would change its strings
    return head + textwrap.indent(script if tree is None else ast.unparse(tree), "    ") + "\n"
