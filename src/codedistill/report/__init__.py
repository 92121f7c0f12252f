"""Reports: a run as one self-contained page, and several runs side by side.

    load.py        run directory -> typed values
    tables.py      the table of results and the headline
    samples.py     which tasks to show, and how the student changed task by task
    plots.py       curves and the taxonomy as SVG
    html.py        report.html
    markdown.py    report.md
    compare.py     several runs
"""

from __future__ import annotations

from pathlib import Path

from codedistill.report.tables import ResultsTable, render_terminal, results_table

__all__ = ["ResultsTable", "compare_runs", "render_terminal", "results_table", "write_report"]


def write_report(run_directory: Path) -> Path:
    """Write report.html and report.md into a finished run's directory; the page's path.

    Raises:
        UserError: a file of the run is missing or malformed.
    """
    from codedistill.report.html import report_page
    from codedistill.report.load import load_run
    from codedistill.report.markdown import report_markdown
    from codedistill.run_directory import RunDirectory, write_text

    run = load_run(Path(run_directory))
    page = RunDirectory(run.path).report
    write_text(page, report_page(run))
    write_text(page.with_suffix(".md"), report_markdown(run))
    return page


from codedistill.report.compare import compare_runs  # noqa: E402  after write_report for no reason but reading order
