"""The one training loop.

loop.py          from the first step to the last: schedule, optimiser, log, checkpoints
step.py          one step's numbers: micro-batches, one division, clip, the check that all is finite
setup.py         recipe -> student, teacher, batches, method
checkpoint.py    whole checkpoints or none, and the way back from them
schedule.py      learning rate by step
save.py          the finished student with its tokenizer, template and model card
"""

from codedistill.training.loop import Interrupted, StepMetrics, TrainingResult, train

__all__ = ["Interrupted", "StepMetrics", "TrainingResult", "train"]
