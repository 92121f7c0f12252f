"""The last line of an interrupted verb: the command that resumes it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Self

import typer

from codedistill.errors import CodedistillError
from codedistill.progress import Watch


class RerunHint:
    """For verbs that keep finished work: on Ctrl-C or SIGTERM, print the same command again and exit with code 130."""

    kept = "; finished work is kept"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, KeyboardInterrupt):
            reason = f"interrupted{self.kept}"
        elif isinstance(error, CodedistillError) and error.exit_code == 130:
            reason = str(error)
        else:
            return
        typer.echo(f"codedistill: {reason}\nresume with: {self.command()}", err=True)
        raise typer.Exit(130) from None

    def command(self) -> str:
        return shlex.join([*_launcher(), *sys.argv[1:]])


class ResumeHint(RerunHint):
    """For run and train: the hint adds the run directory and `resume=auto`."""

    kept = ""

    def __init__(self) -> None:
        self._directory: Path | None = None

    def listen(self, watch: Watch) -> Watch:
        """The same callbacks; `directory` also tells this hint."""

        def directory(path: Path, unfinished: Path | None) -> None:
            self._directory = path
            watch.directory(path, unfinished)
            if unfinished is not None:
                line = resume_command([sys.argv[1], str(unfinished / "recipe.yaml")], unfinished)
                typer.echo(f"{unfinished} holds an unfinished run; to resume that one instead: {line}", err=True)

        return replace(watch, directory=directory)

    def command(self) -> str:
        return resume_command(sys.argv[1:], self._directory)


def resume_command(arguments: list[str], directory: Path | None) -> str:
    """The command that resumes the run in `directory`; None: not known yet, the same command finds it."""
    replaced = ("resume=",) if directory is None else ("resume=", "output=")
    words = [word for word in arguments if not word.startswith(replaced)]
    output = [] if directory is None else [f"output={directory}"]
    return shlex.join([*_launcher(), *words, *output, "resume=auto"])


def _launcher() -> list[str]:
    """Everything before the verb in the command that started this program, with the same number of processes."""
    processes, nodes = (int(os.environ.get(name, "1")) for name in ("LOCAL_WORLD_SIZE", "GROUP_WORLD_SIZE"))
    if processes * nodes > 1:
        several = ["--nnodes", str(nodes)] if nodes > 1 else []
        return ["torchrun", *several, "--nproc_per_node", str(processes), "-m", "codedistill"]
    if Path(sys.argv[0]).name != "__main__.py":
        return ["codedistill"]
    python = shutil.which("python")
    return ["python" if python and Path(python).samefile(sys.executable) else sys.executable, "-m", "codedistill"]
