"""Where an exception came from is told by the program's process, which may lie: what is taken on trust is little."""

from __future__ import annotations

from typing import Any

import pytest

from codedistill.sandbox.origin import MESSAGE_LIMIT, Origin


@pytest.mark.parametrize(
    ("kind", "told", "believed"),
    [
        (ValueError, [3, "source", True], (3, "source", True)),
        (ValueError, [None, "checks", False], (None, "source", False)),  # the checks have not raised it
        (TypeError, [None, "checks", False], (None, "checks", False)),  # but a call of theirs may have failed
        (TypeError, [3, "checks", False], (3, "source", False)),
        (AssertionError, [None, "checks", True], (None, "source", True)),
        (ValueError, [0, "nowhere", 1], (None, "source", False)),
        (ValueError, ["3", ["checks"], None], (None, "source", False)),
        (ValueError, [True], (None, "source", False)),
        (ValueError, [], (None, "source", False)),
    ],
)
def test_what_is_believed(kind: type[BaseException], told: list[Any], believed: tuple[Any, ...]) -> None:
    origin = Origin.read(kind, "no", told)
    assert (origin.line, origin.raised_in, origin.deliberate) == believed


def test_a_message_is_a_text_of_limited_length() -> None:
    assert Origin.read(ValueError, "x" * 10_000, []).message == "x" * MESSAGE_LIMIT
    assert Origin.read(ValueError, ["x"], []).message == ""
