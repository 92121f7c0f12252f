"""What the README promises exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

import codedistill
from codedistill.recipe.load import load_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]


def test_the_two_commands_are_targets() -> None:
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in ("demo", "test"):
        assert f"make {target}" in README
        assert target in targets


def test_the_tree_names_every_room_and_module() -> None:
    package = Path(codedistill.__file__).parent
    rooms = [f"{folder.name}/" for folder in package.iterdir() if (folder / "__init__.py").exists()]
    modules = [file.name for file in package.glob("*.py") if not file.name.startswith("__")]
    for name in sorted(rooms + modules):
        assert re.search(rf"^\s+{re.escape(name)}\s+\S", README, re.MULTILINE), name


def test_links_lead_somewhere() -> None:
    for document, folder in zip(DOCUMENTS, [ROOT, *[ROOT / "docs"] * (len(DOCUMENTS) - 1)], strict=True):
        text = re.sub(r"```.*?```|`[^`\n]*`", "", document, flags=re.DOTALL)  # code may look like a link
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert (folder / target).exists(), target


def test_a_shell_leaves_every_argument_whole() -> None:
    """A value with braces and spaces has to be quoted."""
    blocks = re.findall(r"```bash\n(.*?)```", "\n".join(DOCUMENTS), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("codedistill ")]
    words = [word for line in lines for word in shlex.split(line, comments=True)]
    assert "student={path: /models/big, keep_layers: 20}" in words
    for word in words:
        assert word.count("{") == word.count("}"), word


@pytest.mark.parametrize("line", re.findall(r"^(?:\$ )?codedistill run (.+)$", "\n".join(DOCUMENTS), re.MULTILINE))
def test_run_lines_name_recipes_that_load(line: str) -> None:
    words = [word for word in shlex.split(line, comments=True) if not word.startswith("--") and "$" not in word]
    recipe = words.pop(0) if words and "=" not in words[0] else "tiny"
    if (ROOT / "src" / "codedistill" / "recipe" / "shipped" / f"{recipe}.yaml").exists():
        load_recipe(recipe, words)
