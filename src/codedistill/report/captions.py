"""What the columns of a table mean, in easy words. The page and the markdown both show them."""

from __future__ import annotations

RESULTS = (
    "pass@1 is the share of tasks that a model solves: its program passes all checks. pass@k, for a larger k, counts "
    "a task as solved if one of k programs is right; base pass@1 tries EvalPlus's base inputs alone. Accuracy loss is "
    "how much of the teacher's pass@1 is gone: 40% next to a teacher's 80% is a loss of 50%. A program is complete if "
    "it runs to the end of the checks, even if its answers are wrong; it is correct if they are right."
)

PAIRED = (
    "Two models on the same tasks. The difference is in pass@1, with its bootstrap interval. Better and worse are "
    "the numbers of tasks on which the first of the two does better or worse. p is from McNemar's exact test, or "
    "from the sign test where a task has several samples."
)

MATCHED = (
    "Two students on the same tasks. Each run is set against the run of the first recipe that has the same seed. "
    "The difference is in pass@1, with its bootstrap interval. Better and worse are the numbers of tasks on which "
    "the first of the two does better or worse. p is from McNemar's exact test, or from the sign test where a task "
    "has several samples. p (Holm) is corrected for the number of recipes and benchmarks. Another seed asks the "
    "same question again, so the runs of each seed are corrected by themselves."
)

SEEDS = (
    "One row for each recipe that was run with several seeds. Mean, standard deviation (deviation) and range are of "
    "its students' pass@1; accuracy loss is that of the mean. The difference is between two means, in points of "
    "pass@1. Its interval covers what other seeds and other tasks would change: with two or three seeds it is wide, "
    "since so few runs hardly show how much seeds matter. Training time and peak memory are means too."
)
