"""The rules on imports, on the places of modules and on printing, checked on the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import codedistill

ROOT = Path(codedistill.__file__).parent
ALONE = ("losses", "prompts", "evaluation", "errors")
FILES = {path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}

SCRIPTS = {Path("tiny/build.py"), Path("recipe/reference.py")}
"""Run with `python -m`: they print their result."""

SAME_NAME = {
    "__init__.py",
    "load.py", "loading.py", "model.py", "layers.py",  # the same role in each room
    "heads.py",  # losses/ needs their gradients, models/ finds them
}  # fmt: skip
"""Names of files that several rooms may use."""


def file_of(name: str) -> Path | None:
    """The file of a module of ours, by its dotted name; None: the name is no module of ours."""
    parts = name.split(".")[1:]
    for path in (Path(*parts, "__init__.py"), Path(*parts).with_suffix(".py") if parts else Path("__init__.py")):
        if name.split(".")[0] == "codedistill" and path in FILES:
            return path
    return None


def imports_of(path: Path) -> Iterator[Path]:
    """The files of ours that a file imports: anywhere in it, in functions and for type checking too."""
    for node in ast.walk(FILES[path]):
        if isinstance(node, ast.Import):
            found = [file_of(alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ["codedistill", *path.parent.parts]
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            found = [file_of(f"{module}.{alias.name}") or file_of(module) for alias in node.names]
        else:
            continue
        yield from (file for file in found if file is not None)


IMPORTS = {path: sorted(set(imports_of(path))) for path in FILES}


def room_of(path: Path) -> str:
    """`losses` for losses/fused.py, `api` for api.py."""
    return path.parts[0].removesuffix(".py")


def circles(graph: dict[Path, list[Path]]) -> list[list[Path]]:
    """The strongly connected components of more than one file (Tarjan's algorithm)."""
    index: dict[Path, int] = {}
    low: dict[Path, int] = {}
    stack: list[Path] = []
    found: list[list[Path]] = []

    def visit(node: Path) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            place = stack.index(node)
            if len(stack) > place + 1 or node in graph[node]:
                found.append(sorted(stack[place:]))
            del stack[place:]

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_circles_are_found() -> None:
    a, b, c, d = map(Path, "abcd")
    assert circles({a: [b], b: [c], c: [b], d: [a, d]}) == [[b, c], [d]]
    assert circles({a: [b, c], b: [d], c: [d], d: []}) == []


def test_no_circle_of_imports() -> None:
    found = [" <-> ".join(map(str, circle)) for circle in circles(IMPORTS)]
    assert not found


@pytest.mark.parametrize("room", ALONE)
def test_rooms_that_stand_alone(room: str) -> None:
    files = [path for path in FILES if room_of(path) == room]
    assert files
    for path in files:
        foreign = [str(other) for other in IMPORTS[path] if room_of(other) not in (*ALONE, room)]
        assert not foreign, f"{path} imports {foreign}"


@pytest.mark.parametrize(
    ("room", "never"), [("benchmarks", "sandbox"), ("methods", "training"), ("sandbox", "benchmarks")]
)
def test_rooms_that_must_not_meet(room: str, never: str) -> None:
    for path, others in IMPORTS.items():
        if room_of(path) == room:
            assert never not in map(room_of, others), f"{path} imports {never}"


@pytest.mark.parametrize(
    ("room", "importers"),
    [("cli", {"__main__"}), ("report", {"cli", "api"})],
)
def test_rooms_that_few_may_import(room: str, importers: set[str]) -> None:
    for path, others in IMPORTS.items():
        if room_of(path) not in {room, *importers}:
            assert room not in map(room_of, others), f"{path} imports {room}"


def test_only_the_command_line_prints() -> None:
    for path, tree in FILES.items():
        if room_of(path) == "cli" or path in SCRIPTS:
            continue
        called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        writes = {"print", "typer.echo", "echo", "sys.stdout.write", "sys.stderr.write", "Console"}
        assert not called & writes, f"{path} prints"


def test_a_file_name_has_one_meaning() -> None:
    rooms = defaultdict(list)
    for path in FILES:
        rooms[path.name].append(str(path))
    double = {name: paths for name, paths in rooms.items() if len(paths) > 1 and name not in SAME_NAME}
    assert not double


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py" and path.parent.name], ids=str)
def test_a_folder_lists_its_files(path: Path) -> None:
    """Each file has a line in its folder's docstring, and each line a file or a folder."""
    lines = (ast.get_docstring(FILES[path]) or "").splitlines()
    listed = {line.split()[0] for line in lines if line.split()[:1] and line.split()[0].endswith((".py", "/"))}
    files = {other.name for other in FILES if other.parent == path.parent and other != path}
    assert files <= listed
    assert all((ROOT / path.parent / name).exists() for name in listed)


def test_the_root_is_a_table_of_contents() -> None:
    assert len(list(ROOT.glob("*.py"))) <= 8


@pytest.mark.parametrize(
    "code", ["import codedistill", "import codedistill.cli", "import codedistill.api", "import codedistill.report"]
)
def test_no_torch_at_import(code: str) -> None:
    check = f"import sys; {code}; print(sorted({{'torch', 'transformers', 'accelerate'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
