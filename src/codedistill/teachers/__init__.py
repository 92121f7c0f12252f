"""What a teacher says about a batch, whatever kind of teacher it is.

live.py        the model itself, in memory
responses.py   what it writes before training, kept in the run directory
"""

from codedistill.teachers.live import LiveTeacher
from codedistill.teachers.signal import Teacher, TeacherSignal

__all__ = ["LiveTeacher", "Teacher", "TeacherSignal"]
