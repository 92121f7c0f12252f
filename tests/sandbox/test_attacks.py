"""Every attack gets its verdict, the good programs among them all pass, and nothing is left afterwards."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from codedistill.sandbox import Isolation, Limits, Program, Result, Status, describe_layers
from codedistill.sandbox.pool import run_on

from .attacks import ATTACKS, CHECKS, DAEMON_SECONDS, GOOD
from .processes import processes_with

pytestmark = pytest.mark.slow

LIMITS = Limits(cpu_seconds=1, idle_seconds=1, memory_mb=256, file_mb=32, processes=16, workers=2)
"""Short, so that the timeouts do not take long: a good program needs a hundredth of it."""

AVAILABLE = [layer["name"] for layer in describe_layers() if layer["available"]]
RUNS = [
    (layer, isolation, name)
    for layer in AVAILABLE
    for isolation in Isolation
    for name, attack in ATTACKS.items()
    if layer == AVAILABLE[0] or attack.everywhere
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The folder of the workers' folders, whose name identifies their processes."""
    before, tempfile.tempdir = tempfile.tempdir, tempfile.mkdtemp(prefix="attacks-")
    Path(tempfile.tempdir).chmod(0o711)
    try:
        yield Path(tempfile.tempdir)
    finally:
        Path(tempfile.tempdir).rmdir()
        tempfile.tempdir = before


Outcomes = dict[tuple[str, Isolation], dict[str, tuple[Result, Result]]]


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> Outcomes:
    """By layer, isolation and attack: the attack's result, and that of the good program right after it."""
    outcomes = {}
    for layer in AVAILABLE:
        for isolation in Isolation:
            names = [name for where, how, name in RUNS if (where, how) == (layer, isolation)]
            good = Program(GOOD, CHECKS, "f", isolation)
            results = run_on(layer, [p for name in names for p in (ATTACKS[name].program(isolation), good)], LIMITS)
            outcomes[layer, isolation] = dict(zip(names, zip(results[::2], results[1::2], strict=True), strict=True))
    return outcomes


@pytest.mark.parametrize(("layer", "isolation", "name"), RUNS)
def test_attack(outcomes: Outcomes, layer: str, isolation: Isolation, name: str) -> None:
    result, neighbour = outcomes[layer, isolation][name]
    assert (result.status, result.error_type) == ATTACKS[name].verdict(layer, isolation), result
    assert result.layer.partition("+")[0] == layer
    assert len(result.stdout.encode()) <= LIMITS.output_bytes
    assert len(result.message) <= 500
    assert neighbour.status is Status.PASSED, neighbour


@pytest.mark.usefixtures("outcomes")
def test_nothing_is_left(folder: Path) -> None:
    assert processes_with(str(folder)) == []
    assert processes_with(f"sleep {DAEMON_SECONDS}") == []
    assert list(folder.iterdir()) == []
