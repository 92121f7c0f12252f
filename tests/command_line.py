"""The command line, in this process."""

from __future__ import annotations

import sys

import pytest

from codedistill.cli import verbs as cli


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run a verb in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["codedistill", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0
