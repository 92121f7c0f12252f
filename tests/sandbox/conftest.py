"""The layers that this machine has, and one program run on one of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from codedistill.sandbox import Isolation, Limits, Program, Result, describe_layers
from codedistill.sandbox.pool import run_on

Run = Callable[..., Result]


@pytest.fixture(params=[layer["name"] for layer in describe_layers()])
def layer(request: pytest.FixtureRequest) -> str:
    """Every layer in turn; one that this machine does not have is skipped."""
    (found,) = (layer for layer in describe_layers() if layer["name"] == request.param)
    if not found["available"]:
        pytest.skip(found["why"])
    return str(found["name"])


@pytest.fixture
def run(layer: str) -> Run:
    """Run one source under checks of which the entry point is `f`."""

    def run(
        source: str,
        checks: str = "def check(candidate):\n    assert candidate() == 1\n",
        isolation: Isolation = Isolation.DATA,
    ) -> Result:
        return run_on(layer, [Program(source, checks, "f", isolation)], Limits(cpu_seconds=10))[0]

    return run
