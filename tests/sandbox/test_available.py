"""Which layer is used: the strongest that works, after more than one try, and never silently a weaker one."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from codedistill.errors import InfrastructureError, UserError
from codedistill.sandbox import available
from codedistill.sandbox.worker import WorkerError

CHOOSE = available.sandbox_layer.__wrapped__


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(available.CHOICE, raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """What becomes of each try of a layer: an error, or its full name. A layer that is not here works."""
    script: dict[str, list[Any]] = {}

    def probe(layer: str) -> str:
        outcome = script[layer].pop(0) if layer in script else f"{layer}+seccomp"
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    monkeypatch.setattr(available, "_probe", probe)
    monkeypatch.setattr(available, "_try", available._try.__wrapped__)
    return script


def test_a_passing_fault_does_not_cost_the_layer(
    probes: dict[str, list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    probes["namespaces"] = [WorkerError("no more processes"), EOFError(), "namespaces+seccomp"]
    assert CHOOSE() == "namespaces+seccomp"
    assert caplog.records == []


def test_a_weaker_layer_is_warned_of(probes: dict[str, list[Any]], caplog: pytest.LogCaptureFixture) -> None:
    probes["namespaces"] = [WorkerError("not permitted", passing=False)]
    with caplog.at_level(logging.WARNING):
        assert CHOOSE() == "landlock+seccomp"
    assert probes["namespaces"] == []  # not tried again: it would not help
    (record,) = caplog.records
    assert record.getMessage() == "the sandbox uses a weaker layer, landlock+seccomp (namespaces: not permitted)"


@pytest.mark.parametrize(("user", "warned"), [(0, False), (1000, True)])
def test_programs_that_run_as_the_user_are_warned_of(
    probes: dict[str, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    user: int,
    warned: bool,
) -> None:
    for layer in ("namespaces", "landlock"):
        probes[layer] = [WorkerError("not here", passing=False)]
    monkeypatch.setattr("os.getuid", lambda: user)
    assert CHOOSE() == "rlimits+seccomp"
    assert ("on this layer programs can read and change your files" in caplog.text) is warned
    assert "namespaces: not here; landlock: not here" in caplog.text


def test_without_any_layer_nothing_is_run(probes: dict[str, list[Any]]) -> None:
    for layer in ("namespaces", "landlock", "rlimits"):
        probes[layer] = [WorkerError("not here", passing=False)]
    with pytest.raises(InfrastructureError, match="namespaces: not here; landlock: not here; rlimits: not here"):
        CHOOSE()


def test_a_layer_that_was_asked_for_is_used_or_an_error(
    probes: dict[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(available.CHOICE, "landlock")
    assert CHOOSE() == "landlock+seccomp"
    assert [layer["used"] for layer in available.describe_layers()] == [False, True, False]
    probes["landlock"] = [WorkerError("not here", passing=False)]
    with pytest.raises(UserError, match="CODEDISTILL_SANDBOX=landlock: this layer does not work here: not here"):
        CHOOSE()
    monkeypatch.setenv(available.CHOICE, "walls")
    with pytest.raises(UserError, match="no layer of this name; there are namespaces, landlock, rlimits"):
        CHOOSE()
