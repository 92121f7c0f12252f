"""The tables of results in the documents are what the code prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from codedistill.evaluation import Category, Verdict, accuracy_loss, classify
from codedistill.report import render_terminal, results_table
from tests.report.made_runs import summary_row

ROOT = Path(__file__).parents[2]
TASKS = {"README.md": (300, 300, "tiny"), "docs/real-models.md": (10, 164, "humaneval")}
UNITS = {"M": 1e6, "k": 1e3}


@pytest.mark.parametrize("name", TASKS)
def test_tables_are_what_is_printed(name: str) -> None:
    """The rows are read for what was measured: model, parameters, complete and correct programs."""
    tasks, of, benchmark = TASKS[name]
    text = (ROOT / name).read_text(encoding="utf-8")
    (table,) = re.findall(r"^ +model .*\nteacher .*\nbase student .*\ndistilled student .*\n", text, re.MULTILINE)
    rows = []
    for who, line in zip(("teacher", "base", "student"), table.splitlines()[1:], strict=True):
        cells = re.split(r"  +", line)
        size, unit = cells[2].split()
        complete, correct = int(cells[-3].split()[0]), int(cells[-2])
        kinds = {"wrong answer": complete - correct, "KeyError": tasks - complete}
        more = {"model": cells[1], "parameters": round(float(size) * UNITS[unit]), "benchmark_tasks": of}
        rows.append(summary_row(who, correct, tasks, kinds, benchmark=benchmark, **more))
    for row in rows[1:]:
        row["accuracy_loss"] = accuracy_loss(rows[0]["pass@1"], row["pass@1"])
    assert render_terminal(results_table({"models": rows})) == table


NAMES = {
    "product": "return product(values)",
    "mul": "return list(map(mul, values, values))",
    "deque": "return defaultdict(deque)",
    "pi": "return values * pi",
}
"""Names that docs/taxonomy.md gives as examples of a forgotten import, in such a use."""


@pytest.mark.parametrize("name", NAMES)
def test_names_that_the_taxonomy_page_counts_as_imports(name: str) -> None:
    page = (ROOT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
    assert re.search(rf"`[^`]*\b{name}\b[^`]*`", page)
    source = f"def f(values):\n    {NAMES[name]}\n"
    assert classify(unknown(name, source)) == Category.MISSING_IMPORT


@pytest.mark.parametrize("name", ["add", "search"])
def test_names_that_the_taxonomy_page_leaves_to_programs(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "taxonomy.md").read_text(encoding="utf-8")
    assert classify(unknown(name, f"def f(values):\n    return {name}(values)\n")) == Category.WRONG_FUNCTION_NAME


def unknown(name: str, source: str) -> Verdict:
    """A program that fell over a name."""
    return Verdict(
        status="error",
        error_type="NameError",
        message=f"name '{name}' is not defined",
        raised_in="source",
        reached_checks=True,
        raised_deliberately=False,
        source=source,
        completion=source,
        entry_point="f",
    )
