"""Reports: one run as a page, and several runs side by side.

load.py             run directory -> typed values, and the table of results
differences.py      two models on the same tasks
recipes.py          runs of one recipe, their results and their pairs
comparison.py       several runs
charts.py           curves over the steps, kinds of errors
blocks.py           the blocks of a page
run_page.py         the page of one run, with recipe, environment, time and files
comparison_page.py  the page of several runs
render.py           a page as HTML, as markdown and for a terminal
plots.py            inline SVG
text.py             numbers and untrusted text
"""

from codedistill.report.comparison import Comparison, compare_runs
from codedistill.report.comparison_page import render_comparison, write_comparison
from codedistill.report.load import ResultsTable, results_table
from codedistill.report.run_page import render_terminal, write_report

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
