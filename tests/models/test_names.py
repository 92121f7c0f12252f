"""A name that is neither a folder nor a model on the hub is an error at once."""

from __future__ import annotations

from typing import Any

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import RepositoryNotFoundError

from codedistill.errors import UserError
from codedistill.models import load_model, names
from codedistill.recipe.sections import ModelSpec

asked: list[tuple[str, float]] = []


def hub_that_raises(error: Exception) -> Any:
    def model_info(self: HfApi, name: str, timeout: float) -> None:
        asked.append((name, timeout))
        raise error

    return model_info


def not_found() -> RepositoryNotFoundError:
    error = RepositoryNotFoundError.__new__(RepositoryNotFoundError)  # its own constructor wants a response
    Exception.__init__(error, "401 Client Error")
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            ConnectionError("[Errno -2] Name or service not known"),
            "[Errno -2] Name or service",
        ),
        (not_found(), "the hub has no such model, or it is private"),
    ],
)
def test_the_hub_is_asked_once(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.clear()
    monkeypatch.setattr(HfApi, "model_info", hub_that_raises(error))
    with pytest.raises(UserError) as found:
        load_model(ModelSpec(path="models/mine"), "student")
    assert str(found.value).startswith("student models/mine: no such folder")
    assert reason in str(found.value)
    assert asked == [("models/mine", names.HUB_SECONDS)]


def test_a_tokenizer_of_its_own_is_looked_for_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HfApi, "model_info", hub_that_raises(not_found()))
    spec = ModelSpec(tokenizer="gone/tokenizer", architecture={"model_type": "llama"})
    with pytest.raises(
        UserError, match=r"^student\.tokenizer gone/tokenizer: no such folder; as a hub id: the hub has no"
    ):
        load_model(spec, "student")


def test_what_cannot_be_a_hub_id_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^student my models/a: no such folder; as a hub id: .*my models"):
        load_model(ModelSpec(path="my models/a"), "student")


def test_a_fetched_model_needs_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked.clear()
    monkeypatch.setattr(HfApi, "model_info", hub_that_raises(ConnectionError()))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: f"/cache/{file}")
    names.require_on_hub("models/mine", "config.json", "student")
    assert asked == []
