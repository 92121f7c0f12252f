"""Every attack gets its verdict, the good programs among them all pass, and nothing is left afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedistill.sandbox import Limits, Program, Result, Status, describe_layers
from codedistill.sandbox.pool import run_on
from tests.sandbox.attacks import ATTACKS, CHECKS, DAEMON_SECONDS, GOOD
from tests.sandbox.processes import processes_with

LIMITS = Limits(wall_seconds=1.0, memory_mb=256, file_mb=32, processes=16, workers=2)
"""Short, so that the timeouts do not take long: a good program needs a hundredth of it."""

AVAILABLE = [layer["name"] for layer in describe_layers() if layer["available"]]
RUNS = [
    (layer, name)
    for layer in AVAILABLE
    for name, attack in ATTACKS.items()
    if layer == AVAILABLE[0] or attack.everywhere
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the workers' own folders are: by its name their processes can be told from all others."""
    before, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(prefix="attacks-")
    try:
        yield Path(tempfile.tempdir)
    finally:
        Path(tempfile.tempdir).rmdir()
        tempfile.tempdir = before


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, dict[str, tuple[Result, Result]]]:
    """By layer and attack: the attack's result, and that of the good program right after it."""
    good = Program(GOOD, CHECKS, "f")
    outcomes = {}
    for layer in AVAILABLE:
        names = [name for run, name in RUNS if run == layer]
        results = run_on(layer, [p for name in names for p in (ATTACKS[name].program(), good)], LIMITS)
        outcomes[layer] = dict(zip(names, zip(results[::2], results[1::2], strict=True), strict=True))
    return outcomes


@pytest.mark.parametrize(("layer", "name"), RUNS)
def test_attack(outcomes: dict[str, dict[str, tuple[Result, Result]]], layer: str, name: str) -> None:
    attack, (result, neighbour) = ATTACKS[name], outcomes[layer][name]
    assert result.status in attack.verdicts, result
    if attack.error is not None:
        assert result.error_type == attack.error, result
    assert result.layer.partition("+")[0] == layer
    assert len(result.stdout.encode()) <= LIMITS.output_bytes
    assert len(result.message) <= 500
    assert neighbour.status is Status.PASSED, neighbour


@pytest.mark.usefixtures("outcomes")
def test_nothing_is_left(folder: Path) -> None:
    assert processes_with(str(folder)) == []
    assert processes_with(f"sleep {DAEMON_SECONDS}") == []
    assert list(folder.iterdir()) == []
