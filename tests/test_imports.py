"""Who may import whom, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import codedistill

ROOT = Path(codedistill.__file__).parent
ALONE = ("losses", "prompts", "evaluation", "errors")


def imports_of(path: Path) -> Iterator[str]:
    """Dotted names of our own modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["codedistill", *path.relative_to(ROOT).parent.parts]
            prefix = [*package[: len(package) - node.level + 1], *([node.module] if node.module else [])]
            start = ".".join(prefix) if node.level else node.module
            names = [f"{start}.{alias.name}" for alias in node.names]
        yield from (name for name in names if name.startswith("codedistill"))


def room_of(name: str) -> str:
    """`losses` for codedistill.losses.fused."""
    return [*name.split("."), ""][1]


FILES = [(path.relative_to(ROOT), sorted(set(imports_of(path)))) for path in sorted(ROOT.rglob("*.py"))]


def room_of_file(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", ALONE)
def test_rooms_that_stand_alone(room: str) -> None:
    files = [(path, names) for path, names in FILES if room_of_file(path) == room]
    assert files
    for path, names in files:
        foreign = [n for n in names if room_of(n) not in (*ALONE, room)]
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize(
    ("room", "never"), [("benchmarks", "sandbox"), ("methods", "training"), ("sandbox", "benchmarks")]
)
def test_rooms_that_must_not_meet(room: str, never: str) -> None:
    for path, names in FILES:
        if room_of_file(path) == room:
            assert never not in {room_of(n) for n in names}, f"{path} imports {never}"


@pytest.mark.parametrize(
    ("room", "importers"),
    [
        ("report", ("cli", "api", "experiments")),
        ("experiments", ("cli", "api")),
        ("cli", ("__main__",)),
    ],
)
def test_rooms_that_few_import(room: str, importers: tuple[str, ...]) -> None:
    for path, names in FILES:
        if room_of_file(path) not in (*importers, room):
            assert room not in {room_of(n) for n in names}, f"{path} imports {room}"


@pytest.mark.parametrize(
    "code", ["import codedistill", "import codedistill.cli", "import codedistill.api", "import codedistill.report"]
)
def test_no_torch_at_import(code: str) -> None:
    check = f"import sys; {code}; print(sorted({{'torch', 'transformers', 'accelerate'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
