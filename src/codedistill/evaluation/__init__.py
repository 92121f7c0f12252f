"""What verdicts mean: numbers with their uncertainty, and a taxonomy of failures. Runs nothing, imports no model.

metrics.py       pass@k, accuracy loss
statistics.py    intervals, paired comparison, correction for many comparisons
taxonomy.py      one failing program -> its category
summary.py       results of one model on one benchmark -> one table row, with its identities checked
"""

from codedistill.evaluation.metrics import accuracy_loss, pass_at_k
from codedistill.evaluation.statistics import (
    Crossed,
    Interval,
    Paired,
    bootstrap_interval,
    crossed_difference,
    holm,
    paired_difference,
    share_interval,
    wilson_interval,
)
from codedistill.evaluation.summary import Summary, summarize
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
    "paired_difference",
    "pass_at_k",
    "share_interval",
    "summarize",
    "wilson_interval",
]
