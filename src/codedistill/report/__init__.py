"""Reports: a run as one self-contained page, and several runs side by side.

folder.py      what a folder without a finished run holds
load.py        run directory -> typed values
tables.py      the table of results and the headline
paired.py      two models on the same tasks
taxonomy.py    kinds of errors by model
series.py      curves over the steps
samples.py     which tasks to show
facts.py       what a run was made with, and its files
captions.py    what the columns of the tables mean
plots.py       inline SVG
html.py        report.html
markdown.py    report.md
groups.py      runs of one recipe
matched.py     recipes task by task, by seed
seeds.py       means over seeds
ranking.py     which recipe has the best student, in a sentence
compare.py     several runs
painted.py     which runs share a colour
comparison.py  several runs as HTML and markdown
terminal.py    tables and sentences for a terminal
text.py        numbers and untrusted text as they are shown
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codedistill.report.tables import ResultsTable, render_terminal, results_table

if TYPE_CHECKING:
    from codedistill.report.compare import Comparison

__all__ = ["ResultsTable", "compare_runs", "render_terminal", "results_table", "write_report"]


def write_report(run_directory: Path) -> Path:
    """Write report.html and report.md into a finished run's directory; the page's path.

    Raises:
        UserError: a file of the run is missing or malformed, or the page cannot be written.
    """
    from codedistill.report.html import report_page
    from codedistill.report.load import load_run
    from codedistill.report.markdown import report_markdown
    from codedistill.runs.directory import RunDirectory
    from codedistill.runs.files import write_text

    run = load_run(Path(run_directory))
    page = RunDirectory(run.path).report
    write_text(page.with_suffix(".md"), report_markdown(run))
    write_text(page, report_page(run))
    return page


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Read finished runs and set them side by side; differences are taken to the first one's recipe.

    Raises:
        UserError: fewer than two runs, the same one twice, or a file is missing or malformed.
    """
    from codedistill.report.compare import compare

    return compare([Path(path) for path in paths])
