"""Teachers: sources of next-token distributions at the rows of a batch.

live.py        a model in memory
responses.py   responses that a teacher writes before training, kept in the run directory

A new kind of teacher is one file with a class like `Teacher`. The forms of its answer are in `losses/signal.py`.
"""

from __future__ import annotations

from typing import Protocol

from codedistill.data import Batch
from codedistill.losses import TeacherSignal
from codedistill.models import Loaded
from codedistill.teachers.live import LiveTeacher

__all__ = ["LiveTeacher", "Teacher", "TeacherSignal"]


class Teacher(Protocol):
    """A method's view of the teacher during training."""

    @property
    def loaded(self) -> Loaded | None:
        """The model itself, for methods that let it write; None if it is not in this process."""

    def signal(self, batch: Batch) -> TeacherSignal:
        """The teacher's distribution at the batch's N rows, without gradient."""
