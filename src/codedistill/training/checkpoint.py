"""Checkpoints: everything that a bit-exact continuation needs, with a SHA-256 sum of each file.

A checkpoint is written into a hidden folder, synced and renamed, and an old one is renamed before it is deleted, so a
folder named step-N is always complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from codedistill.errors import CodedistillError, UserError, first_line, is_memory_fault
from codedistill.recipe.model import Recipe, free_keys

WEIGHTS, STATE, SUMS = "weights.safetensors", "state.pt", "sha256.json"


@dataclass(frozen=True)
class TrainState:
    """A run after `step` optimizer steps, from which the position in the data follows.

    fingerprints: SHA-256 of the run's inputs, see `Setup`. random: the states of the random generators of each
    process.
    """

    step: int
    recipe: dict[str, Any]
    fingerprints: dict[str, str]
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
    for left in folder.glob(".step-*"):  # by a run that was killed
        shutil.rmtree(left, ignore_errors=True)
    with new_folder(final, newest_checkpoint(folder)) as aside:
        save_file({name: t.contiguous().cpu() for name, t in trainable(model).items()}, aside / WEIGHTS)
        torch.save(vars(state), aside / STATE)
        (aside / SUMS).write_text(json.dumps({name: _sha256(aside / name) for name in (WEIGHTS, STATE)}) + "\n")
    for old in whole_checkpoints(folder)[:-keep]:
        _remove(old)
    return final


@contextmanager
def new_folder(final: Path, last: Path | None) -> Iterator[Path]:
    """A hidden folder to fill, which is then synced and takes the place of `final`. last: the newest checkpoint.

    Raises:
        UserError: the disk is full or not writable, or memory is exhausted; `final` is as it was.
    """
    aside = final.with_name(f".{final.name}.tmp")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        for path in (*aside.rglob("*"), aside):
            _sync(path)
        _remove(final)
        aside.rename(final)
        _sync(final.parent)
    except CodedistillError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    except Exception as error:  # torch and safetensors wrap a full disk in exceptions of their own
        shutil.rmtree(aside, ignore_errors=True)
        hints = ("no space", "disk", "write", "file too large", "i/o error", "os error")
        lacking = "memory" if is_memory_fault(error) else "space"
        is_disk_fault = isinstance(error, OSError) or any(hint in str(error).lower() for hint in hints)
        if lacking == "space" and not is_disk_fault:
            raise
        safe = f"the last checkpoint {last} is complete" if last else "no checkpoint was written before"
        raise UserError(
            f"{final}: cannot be written: {first_line(error)}; {safe}; "
            f"free some {lacking} and continue with resume=auto"
        ) from None


def _remove(folder: Path) -> None:
    """Remove a folder, if there is one, so that a kill on the way leaves no half of it under its name."""
    aside = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


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
    """A checkpoint without its weights, after a check of all its files.

    Raises:
        UserError: a file is damaged; the message says how to continue from the checkpoint before. Or an older version
            wrote the checkpoint, without checksums.
    """
    if not (path / SUMS).exists():
        raise UserError(
            f"{path}: has no {SUMS}: version 0.1.0 or a copy that lost it wrote this checkpoint; "
            "resume with that version, or choose another output"
        )
    with _one_line(path / SUMS):
        sums = json.loads((path / SUMS).read_text())
        expected = {name: sums[name] for name in (WEIGHTS, STATE)}
    for name, value in expected.items():
        with _one_line(path / name):
            if _sha256(path / name) != value:
                raise ValueError(f"its checksum differs from that in {SUMS}")
    with _one_line(path / STATE):
        return TrainState(**torch.load(path / STATE, weights_only=True))


def load_weights(path: Path, model: Any) -> None:
    """Load a checkpoint's weights into `model`.

    Raises:
        UserError: the checkpoint belongs to another model, or the file is damaged.
    """
    with _one_line(path / WEIGHTS):
        weights = load_file(path / WEIGHTS)
    own = trainable(model)
    if weights.keys() != own.keys() or any(weights[name].shape != own[name].shape for name in own):
        raise UserError(f"{path}: belongs to another model; choose another output or resume=never")
    for name, tensor in own.items():
        tensor.copy_(weights[name])


@contextmanager
def _one_line(file: Path) -> Iterator[None]:
    """Turn any error from a damaged file of a checkpoint into one line that names the checkpoint before."""
    try:
        yield
    except Exception as error:  # torch raises many types for a truncated or changed file
        if is_memory_fault(error):
            raise
        checkpoint = file.parent
        others = [other.name for other in whole_checkpoints(checkpoint.parent) if other != checkpoint]
        rest = f"from {others[-1]}" if others else "from the beginning: there is no other checkpoint"
        raise UserError(
            f"{file}: damaged, cannot be used ({first_line(error)}); "
            f"remove {checkpoint} and run the same command again, which continues {rest}"
        ) from None


def check_same_recipe(state: TrainState, recipe: dict[str, Any], processes: int, path: Path) -> None:
    """Refuse to resume with another recipe or another number of processes.

    Raises:
        UserError: names the keys that differ.
    """
    free = free_keys()
    before, now = _deciding(state.recipe, free), _deciding(recipe, free)
    other = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    # A key on one side alone follows from another key that differs.
    other = [key for key in other if key in before and key in now] or other
    if other:
        keys = ", ".join(f"{key}={before.get(key)} (the recipe has {now.get(key)})" for key in other)
        raise UserError(f"{path}: was trained with {keys}; use the same recipe or another output", key=other[0])
    if len(state.random) != processes:
        raise UserError(
            f"{path}: was trained by {len(state.random)} processes, now there are {processes}; "
            "use the same number, or another output"
        )


def check_same_inputs(state: TrainState, fingerprints: dict[str, str], recipe: Recipe, path: Path) -> None:
    """Refuse to resume with other data, another tokenizer or other models than those that the run started with.

    Raises:
        UserError: names the key whose files have changed.
    """
    keys = {
        "data": ("data.source", recipe.data.source),
        "tokenizer": ("student", recipe.student),
        "student": ("student", recipe.student),
        "teacher": ("teacher", recipe.teacher),
    }
    for name, (key, value) in keys.items():
        if state.fingerprints.get(name) != fingerprints.get(name):
            what = "content" if name == "data" else "tokenizer" if name == "tokenizer" else "weights or settings"
            raise UserError(
                f"{key} {value}: its {what} changed after this run started (checkpoint {path}); "
                "restore it or choose another output",
                key=key,
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
