"""The training loop that all methods share.

loop.py          from the first step to the last: log, checkpoints, signals
step.py          one optimizer step: learning rate, micro-batches, one division, the check that all is finite
setup.py         recipe -> student, teacher, batches, method
checkpoint.py    complete checkpoints or none, and resuming from them
switches.py      precision and compilation: their requirements, and how they are applied
save.py          the finished student with its tokenizer, template and model card
"""

from codedistill.runs.schema import StepMetrics
from codedistill.training.loop import Interrupted, TrainingResult, train

__all__ = ["Interrupted", "StepMetrics", "TrainingResult", "train"]
