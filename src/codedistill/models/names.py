"""Names of models: whether a folder or a hub id exists, found without loading anything. No torch here."""

from __future__ import annotations

from pathlib import Path

from codedistill.errors import UserError, first_line
from codedistill.tiny import ASSETS

HUB_SECONDS = 5
"""How long the hub may take to answer whether it has a model."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
EMBEDDED = {"tiny/teacher": ASSETS / "teacher", "tiny/student": ASSETS / "student"}


def resolve(name: str, key: str) -> str:
    """The folder or hub id behind a name.

    Raises:
        UserError: no such folder, no model in it, or the hub does not know it; `key` is the recipe key that names it.
    """
    folder = find_folder(name, key)
    if folder is None:
        require_on_hub(name, "config.json", key)
        return name
    return str(folder)


def find_folder(name: str, key: str) -> Path | None:
    """The model folder behind a name; None if the name can only be a hub id. Does not ask the hub.

    Raises:
        UserError: no such folder, or no model in it.
    """
    path = Path(EMBEDDED.get(name, name))
    problem = ""
    if not path.exists():
        if not name.startswith((".", "/", "~")) and name.count("/") == 1:
            return None
        problem = f"no such folder; give a model folder, a hub id or {' or '.join(EMBEDDED)}"
    elif not (path / "config.json").is_file():
        inside = path / "model"
        problem = "is not a model folder, it has no config.json"
        if (path / "adapter_config.json").is_file():
            problem = "holds an adapter alone; merge it into its base model and save that"
        elif (inside / "config.json").is_file():
            problem += f"; it holds a run, whose student is {inside}"
    elif not any((path / weights).is_file() for weights in WEIGHTS):
        problem = f"has no weights; expected one of {', '.join(WEIGHTS)} in it"
    if problem:
        raise UserError(f"{key} {name}: {problem}", key=key)
    return path


def require_on_hub(name: str, file: str, key: str) -> None:
    """Fail early where the hub cannot give a model; transformers would try for a minute.

    Raises:
        UserError: `file` has not been fetched before, and the hub does not know the model or cannot be reached.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        if not isinstance(try_to_load_from_cache(name, file), str):
            HfApi().model_info(name, timeout=HUB_SECONDS)
        return
    except RepositoryNotFoundError:
        reason = "the hub has no such model, or it is private"
    except HFValidationError as error:
        reason = first_line(error)
    except Exception as error:  # whatever the network raises
        reason = f"the hub cannot be reached: {first_line(error)}"
    raise UserError(f"{key} {name}: no such folder; as a hub id: {reason}", key=key)
