"""Checkpoints: everything that a bit-exact continuation needs.

A checkpoint is written into a hidden folder, synced and renamed, so a folder named step-N is always complete.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from codedistill.errors import UserError, first_line
from codedistill.recipe.model import free_keys

WEIGHTS, STATE = "weights.safetensors", "state.pt"


@dataclass(frozen=True)
class TrainState:
    """A run after `step` optimizer steps, from which the position in the data follows.

    random: the states of the random generators of each process.
    """

    step: int
    recipe: dict[str, Any]
    data_fingerprint: str
    method: dict[str, Any]
    optimizer: dict[str, Any]
    random: list[dict[str, Any]]


def random_states() -> dict[str, Any]:
    """The states of all random generators that training may use."""
    name, keys, position, has_gauss, cached = np.random.get_state()
    states: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: dict[str, Any]) -> None:
    """Restore what `random_states` returned; raises on any mismatch."""
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])


def trainable(model: Any) -> dict[str, torch.Tensor]:
    """The trainable parameters by name, tied ones once."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def save_checkpoint(folder: Path, model: Any, state: TrainState, keep: int) -> Path:
    """Write folder/step-N and remove all but the newest `keep` checkpoints.

    Raises:
        UserError: the disk is full or not writable; earlier checkpoints are untouched.
    """
    final = folder / f"step-{state.step}"
    aside = folder / f".step-{state.step}.tmp"

    def write() -> None:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        save_file({name: t.contiguous().cpu() for name, t in trainable(model).items()}, aside / WEIGHTS)
        torch.save(vars(state), aside / STATE)
        for path in (aside / WEIGHTS, aside / STATE, aside):
            _sync(path)
        shutil.rmtree(final, ignore_errors=True)
        aside.rename(final)
        _sync(folder)

    guarded(write, final, newest_checkpoint(folder), lambda: shutil.rmtree(aside, ignore_errors=True))
    for old in whole_checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def guarded(write: Callable[[], None], target: Path, last: Path | None, clean: Callable[[], None]) -> None:
    """Run `write`; turn a disk error into one line that names the last checkpoint. clean: called first."""
    try:
        write()
    except Exception as error:  # torch and safetensors wrap a full disk in exceptions of their own
        clean()
        if not _is_disk_fault(error):
            raise
        safe = f"the last checkpoint {last} is complete" if last else "no checkpoint was written before"
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{target}: cannot be written: {reason}; {safe}; free some space and continue with resume=auto"
        ) from None


def _is_disk_fault(error: Exception) -> bool:
    text = str(error).lower()
    hints = ("no space", "disk", "write", "file too large", "i/o error", "os error")
    return isinstance(error, OSError) or any(hint in text for hint in hints)


def whole_checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, oldest first."""
    paths = [
        p for p in folder.glob("step-*") if p.name[5:].isdigit() and (p / STATE).is_file() and (p / WEIGHTS).is_file()
    ]
    return sorted(paths, key=lambda path: int(path.name[5:]))


def newest_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to resume from, or None."""
    return next(reversed(whole_checkpoints(folder)), None)


def read_state(path: Path) -> TrainState:
    """A checkpoint without its weights.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return TrainState(**torch.load(path / STATE, weights_only=True))
    except Exception as error:  # torch raises many types for a truncated or changed file
        raise UserError(_damaged(path / STATE, error)) from None


def _damaged(file: Path, error: Exception) -> str:
    checkpoint = file.parent
    others = [other.name for other in whole_checkpoints(checkpoint.parent) if other != checkpoint]
    rest = f"from {others[-1]}" if others else "from the beginning: there is no other checkpoint"
    return (
        f"{file}: damaged, cannot be read ({first_line(error)}); "
        f"remove {checkpoint} and run the same command again, which continues {rest}"
    )


def load_weights(path: Path, model: Any) -> None:
    """Load a checkpoint's weights into `model`.

    Raises:
        UserError: the checkpoint belongs to another model, or the file is damaged.
    """
    try:
        weights = load_file(path / WEIGHTS)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise UserError(_damaged(path / WEIGHTS, error)) from None
    own = trainable(model)
    if weights.keys() != own.keys() or any(weights[name].shape != own[name].shape for name in own):
        raise UserError(f"{path}: belongs to another model; choose another output or resume=never")
    for name, tensor in own.items():
        tensor.copy_(weights[name])


def check_same_recipe(state: TrainState, recipe: dict[str, Any], processes: int, path: Path) -> None:
    """Refuse to resume with another recipe or another number of processes.

    Raises:
        UserError: names the keys that differ.
    """
    free = free_keys()
    before, now = _deciding(state.recipe, free), _deciding(recipe, free)
    other = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    # A key that only one side has is there because of another key that differs.
    other = [key for key in other if key in before and key in now] or other
    if other:
        keys = ", ".join(f"{key}={before.get(key)} (the recipe has {now.get(key)})" for key in other)
        raise UserError(f"{path}: was trained with {keys}; use the same recipe or another output", key=other[0])
    if len(state.random) != processes:
        raise UserError(
            f"{path}: was trained by {len(state.random)} processes, now there are {processes}; "
            "use the same number, or another output"
        )


def check_same_data(state: TrainState, data_fingerprint: str, path: Path) -> None:
    """Refuse to resume with other data.

    Raises:
        UserError: the token ids are not those that the run started with.
    """
    if state.data_fingerprint != data_fingerprint:
        raise UserError(
            f"{path}: was trained on other data than data.source has now; restore it or choose another output"
        )


def _deciding(recipe: dict[str, Any], free: set[str], prefix: str = "") -> dict[str, Any]:
    """The dotted keys that decide what training does: all but the `free` ones."""
    flat: dict[str, Any] = {}
    for name, value in recipe.items():
        key = prefix + name
        if key in free:
            continue
        if isinstance(value, dict):
            flat |= _deciding(value, free, key + ".")
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
