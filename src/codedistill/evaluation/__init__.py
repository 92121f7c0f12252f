"""Metrics with their uncertainty, and a taxonomy of failures. Pure functions.

statistics.py  pass@k, accuracy loss, intervals, paired comparison, correction for many comparisons
taxonomy.py    one failing program -> its category
aggregate.py   the results of one model on one benchmark -> one table row, with its identities checked
"""

from codedistill.evaluation.aggregate import Summary, paired_by_task, pass_shares, summarize, with_verdict
from codedistill.evaluation.statistics import (
    Crossed,
    Interval,
    Paired,
    accuracy_loss,
    bootstrap_interval,
    crossed_difference,
    holm,
    paired_difference,
    pass_at_k,
    share_interval,
    wilson_interval,
)
from codedistill.evaluation.taxonomy import Category, Verdict, classify

__all__ = [
    "Category",
    "Crossed",
    "Interval",
    "Paired",
    "Summary",
    "Verdict",
    "accuracy_loss",
    "bootstrap_interval",
    "classify",
    "crossed_difference",
    "holm",
    "paired_by_task",
    "paired_difference",
    "pass_at_k",
    "pass_shares",
    "share_interval",
    "summarize",
    "wilson_interval",
    "with_verdict",
]
