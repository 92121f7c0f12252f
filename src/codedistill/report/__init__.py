"""Reports: one run as a page, and several runs side by side.

load.py             run directory -> typed values
results.py          the table of results
differences.py      two models on the same tasks
recipes.py          runs of one recipe, and what they reach
comparison.py       several runs
headlines.py        the first sentences of a page
error_kinds.py      kinds of errors by model or run
curves.py           curves over the steps
shown_tasks.py      the tasks that are shown
facts.py            what a run was made with, and its files
blocks.py           what a page consists of
run_page.py         the page of one run
comparison_page.py  the page of several runs
html.py             a page as HTML
markdown.py         a page as markdown
terminal.py         tables and sentences of a page for a terminal
plots.py            inline SVG
text.py             numbers and untrusted text
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codedistill.report.results import ResultsTable, results_table

if TYPE_CHECKING:
    from codedistill.report.comparison import Comparison

__all__ = [
    "Comparison",
    "ResultsTable",
    "compare_runs",
    "render_comparison",
    "render_terminal",
    "results_table",
    "write_comparison",
    "write_report",
]


def write_report(run_directory: Path) -> Path:
    """Write report.html and report.md into a finished run's directory; returns the path of report.html.

    Raises:
        UserError: a file of the run is missing or malformed, or the page cannot be written.
    """
    from codedistill.report.html import html
    from codedistill.report.load import load_run
    from codedistill.report.markdown import markdown
    from codedistill.report.run_page import run_page
    from codedistill.runs.directory import RunDirectory
    from codedistill.runs.files import write_text

    run = load_run(Path(run_directory))
    page, path = run_page(run), RunDirectory(run.path).report
    write_text(path.with_suffix(".md"), markdown(page))
    write_text(path, html(page))
    return path


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Read finished runs and compare them; differences are to the first run's recipe.

    Raises:
        UserError: fewer than two runs, the same one twice, or a file is missing or malformed.
    """
    from codedistill.report.comparison import compare

    return compare([Path(path) for path in paths])


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write comparison.html, comparison.md and comparison.json; returns the path of comparison.html.

    Raises:
        UserError: the folder cannot be written.
    """
    from codedistill.report.comparison_page import comparison_page
    from codedistill.report.html import html
    from codedistill.report.markdown import markdown
    from codedistill.runs.files import write_json, write_text

    page, path = comparison_page(comparison, Path(folder)), Path(folder) / "comparison.html"
    write_json(path.with_suffix(".json"), comparison.to_json())
    write_text(path.with_suffix(".md"), markdown(page))
    write_text(path, html(page))
    return path


def render_comparison(comparison: Comparison) -> str:
    """The headlines, tables and remarks for a terminal; in full if standard output is a file or a pipe."""
    from codedistill.report.comparison_page import TERMINAL, comparison_page
    from codedistill.report.terminal import render_page

    return render_page(comparison_page(comparison), TERMINAL)


def render_terminal(table: ResultsTable) -> str:
    """The table of results for a terminal, fitted to its width; in full if standard output is a file or a pipe."""
    from codedistill.report.terminal import render_table

    return render_table(table.table())
