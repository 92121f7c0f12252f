"""What is shown of a Python installation, wherever its packages are: its programs and its library, and no packages."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from codedistill.sandbox import places

SECRET = "answer-5d3b"
HEAVY = ("test", "*-packages", "config-*", "tkinter", "idlelib", "lib2to3", "ensurepip", "distutils", "pydoc_data")

SCRIPT = """
import sys
from codedistill.sandbox import Limits, Program
from codedistill.sandbox.pool import run_on

source = '''
def f(paths):
    found = []
    for path in paths:
        try:
            found.append(open(path).read())
        except OSError:
            pass
    return found
'''
checks = f"def check(f):\\n    found = f({sys.argv[2:]!r})\\n    assert found == [], found\\n"
[result] = run_on(sys.argv[1], [Program(source, checks, "f")], Limits(cpu_seconds=20))
print(result.status, result.message)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment inside the installation that it is of, with answers in all places for packages."""
    prefix = tmp_path_factory.mktemp("installation") / "versions" / "3"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library, environment = prefix / "lib" / version, prefix / "envs" / "name"
    ignored = shutil.ignore_patterns(*HEAVY, "__pycache__")
    shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=ignored, symlinks=True)
    (prefix / "bin").mkdir()
    shutil.copy(Path(sys.executable).resolve(), prefix / "bin" / version)
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(prefix / "bin" / version)
    (environment / "pyvenv.cfg").write_text(f"home = {prefix / 'bin'}\n")
    for folder in (library, environment / "lib" / version, prefix / "lib" / "python3.0"):
        (folder / "site-packages").mkdir(parents=True)
        (folder / "site-packages" / "answers.py").write_text(SECRET)
    return environment / "bin" / "python"


def test_packages_in_and_below_the_installation_are_out_of_reach(layer: str, python: Path) -> None:
    """The installation is below /tmp, where programs otherwise have their home."""
    if layer == "rlimits":
        pytest.skip("this layer does not guard files")
    prefix = python.parents[3]
    answers = [str(path) for path in prefix.rglob("answers.py")]
    assert len(answers) == 3
    package = str(Path(places.__file__).parents[2])
    result = subprocess.run(
        [python, "-c", SCRIPT, layer, *answers, places.__file__, str(python.parents[1] / "pyvenv.cfg")],
        env={"PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (result.stdout.strip(), result.stderr) == ("passed", "")


def test_no_place_lies_below_another(tmp_path: Path) -> None:
    found = places.readable_places()
    assert places.library() in found or any(places.library().startswith(f"{place}/") for place in found)
    assert not [(a, b) for a in found for b in found if b.startswith(f"{a}/")]


def test_hidden_are_the_callers_packages_and_those_of_any_python(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    for name in ("python3.9/site-packages", "python3/dist-packages", "pypy3/site-packages", "python3.9/json"):
        (lib / name).mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    found = places.hidden_places([str(lib)], [str(lib / "python3.9" / "json"), str(tmp_path / "elsewhere")])
    wanted = ("pypy3/site-packages", "python3/dist-packages", "python3.9/json", "python3.9/site-packages")
    assert found == sorted(str(lib / name) for name in wanted)


def test_the_callers_environment_is_told_of() -> None:
    found = places.third_party_places()
    assert str(Path(places.__file__).parents[2]) in found
    assert places.library() not in found
