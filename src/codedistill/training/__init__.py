"""The one training loop.

loop.py          steps: micro-batches, one division, clip, optimiser, log, save
setup.py         recipe -> student, teacher, batches, method
checkpoint.py    whole checkpoints or none, and the way back from them
schedule.py      learning rate by step
save.py          the finished student with its tokenizer, template and model card
"""

from codedistill.training.loop import Interrupted, StepMetrics, TrainingResult, train

__all__ = ["Interrupted", "StepMetrics", "TrainingResult", "train"]
