"""One finished run for all tests that only read it, with its page and its markdown."""

from __future__ import annotations

from pathlib import Path

import pytest

from codedistill.report import write_report
from tests.report.made_runs import write_run


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three models, 40 tasks and 100 steps, with its report."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "tiny")
    write_report(folder)
    return folder
