"""Whether teacher and student have the same tokens.

Two models may pad their vocabularies to different sizes (Qwen2.5-Coder 0.5B: 151,936; 7B: 152,064) while their
tokenizers agree on every real token. Both heads are then cut to the real entries; nothing is zero-padded.
"""

from __future__ import annotations

from codedistill.errors import UserError
from codedistill.models.loading import Loaded

PROBES = (
    "def add(a, b):\n    return a + b\n",
    "Write a function that sorts a list of strings by their length.",
    "x = {'k': [1, 2.5, None]}  # naïve café\t\n\n    if x != 0:",
)


def shared_vocabulary(teacher: Loaded, student: Loaded) -> int:
    """The number of entries that both heads keep.

    Raises:
        UserError: the tokenizers map text to different ids.
    """
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if ours != theirs:
        token = next(iter(sorted(set(ours.items()) ^ set(theirs.items()))))[0]
        raise UserError(
            _mismatch(teacher, student, f"token {token!r} has id {theirs.get(token)} against {ours.get(token)}")
        )
    for probe in PROBES:
        if teacher.tokenizer(probe)["input_ids"] != student.tokenizer(probe)["input_ids"]:
            raise UserError(_mismatch(teacher, student, f"they split {probe[:20]!r} differently"))
    if teacher.tokenizer.eos_token_id != student.tokenizer.eos_token_id:
        raise UserError(_mismatch(teacher, student, "they end a text with different tokens"))
    own_vocabulary(teacher)
    return own_vocabulary(student)


def own_vocabulary(model: Loaded) -> int:
    """The number of entries of a model's head that are tokens; the rest pads it to a round number.

    Raises:
        UserError: the head lacks some of the tokenizer's tokens.
    """
    entries: int = max(model.tokenizer.get_vocab().values()) + 1
    size = model.model.get_output_embeddings().weight.shape[0]
    if size < entries:
        raise UserError(f"{model.name}: its head has {size} entries, its tokenizer {entries}; resize the embeddings")
    return entries


def _mismatch(teacher: Loaded, student: Loaded, why: str) -> str:
    return (
        f"teacher {teacher.name} and student {student.name} have different tokenizers: {why}; "
        "choose a pair of one family, or distill by text: method=seqkd seqkd.objective=cross_entropy"
    )
