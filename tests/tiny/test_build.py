"""The build's command line: options are no folders."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from codedistill.tiny import build


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    calls: list[Any] = []
    monkeypatch.setattr(build, "build", lambda *given: calls.append(given))
    return calls


@pytest.mark.parametrize(("words", "code"), [(["--help"], 0), (["--nope"], 2), ([], 2), (["out", "nope"], 2)])
def test_nothing_is_built_for_options(
    words: list[str], code: int, built: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["build", *words])
    with pytest.raises(SystemExit) as stop:
        build.main()
    assert stop.value.code == code
    assert built == []


def test_all_stages_or_some(built: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["out"], ["out", "student-text", "student"]):
        monkeypatch.setattr(sys, "argv", ["build", *words])
        build.main()
    assert built == [(Path("out"), build.STAGES), (Path("out"), ("student-text", "student"))]
