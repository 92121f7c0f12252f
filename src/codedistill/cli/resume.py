"""How to go on after an interruption: a command line that can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from codedistill.errors import CodedistillError
from codedistill.progress import Watch
from codedistill.runs.directory import RunDirectory


class Advice:
    """Learns where a run goes, and says how to go on with it when it is interrupted."""

    def __init__(self) -> None:
        self._directory: Path | None = None

    def listen(self, watch: Watch) -> Watch:
        """The same watch, with ears for the run directory."""

        def directory(path: Path, unfinished: Path | None) -> None:
            self._directory = path
            watch.directory(path, unfinished)
            if unfinished is not None:
                line = resume_command([sys.argv[1], str(RunDirectory(unfinished).recipe)], unfinished)
                typer.echo(f"{unfinished} holds an unfinished run; to go on with that one instead: {line}", err=True)

        return replace(watch, directory=directory)

    def __enter__(self) -> Advice:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        line = resume_command(sys.argv[1:], self._directory)
        if isinstance(error, CodedistillError) and error.exit_code == 130:
            raise type(error)(f"{error}\ngo on with: {line}") from None
        if isinstance(error, KeyboardInterrupt):  # before or after training: what has been generated is kept
            typer.echo(f"codedistill: interrupted\ngo on with: {line}", err=True)
            raise typer.Exit(130) from None


@contextmanager
def kept() -> Iterator[None]:
    """For a verb that keeps what is done and goes on by itself: on an interruption, say so."""
    try:
        yield
    except KeyboardInterrupt:
        line = shlex.join([*_program(), *sys.argv[1:]])
        typer.echo(f"codedistill: interrupted, what is done is kept; go on with: {line}", err=True)
        raise typer.Exit(130) from None


def resume_command(arguments: list[str], directory: Path | None) -> str:
    """The command that goes on with a run in `directory`; None: it is not known yet, and the same command finds it."""
    settled = ("resume=",) if directory is None else ("resume=", "output=")
    words = [word for word in arguments if not word.startswith(settled)]
    place = [] if directory is None else [f"output={directory}"]
    return shlex.join([*_launcher(), *words, *place, "resume=auto"])


def _launcher() -> list[str]:
    """Everything before the verb. A run goes on with as many processes as it was begun with."""
    processes, nodes = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    if processes * nodes == 1:
        return _program()
    several = ["--nnodes", str(nodes)] if nodes > 1 else []
    return ["torchrun", *several, "--nproc_per_node", str(processes), "-m", "codedistill"]


def _program() -> list[str]:
    """How this program was started."""
    if Path(sys.argv[0]).name != "__main__.py":
        return ["codedistill"]
    found = shutil.which("python")
    return ["python" if found and Path(found).samefile(sys.executable) else sys.executable, "-m", "codedistill"]
