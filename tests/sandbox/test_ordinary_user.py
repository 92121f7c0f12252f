"""The weaker layers as an ordinary user has them: the attacks again, by a user without privileges.

Root is let off by some of the kernel's limits, and some layers do not work for it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import codedistill
from codedistill.sandbox import Isolation
from tests.sandbox.attacks import ATTACKS
from tests.sandbox.processes import processes_with

pytestmark = pytest.mark.slow

NOBODY = 65534
PYTHON = "/usr/bin/python3"

SCRIPT = """
import json, sys, tempfile
from attacks import ATTACKS, CHECKS, GOOD
from codedistill.sandbox import Isolation, Limits, Program, describe_layers
from codedistill.sandbox.pool import run_on

limits = Limits(cpu_seconds=1, idle_seconds=1, memory_mb=256, file_mb=32, processes=16, workers=2)
names = [name for name, attack in ATTACKS.items() if attack.everywhere]
good = Program(GOOD, CHECKS, "f", Isolation.SHARED)
found = {}
for layer in ("landlock", "rlimits"):
    if any(each["available"] for each in describe_layers() if each["name"] == layer):
        results = run_on(layer, [p for name in names for p in (ATTACKS[name].program(Isolation.SHARED), good)], limits)
        ends = [(result.status, result.error_type, result.message) for result in results]
        found[layer] = dict(zip(names, zip(ends[::2], ends[1::2])))
json.dump(found, sys.stdout)
"""


def _suits(python: str) -> bool:
    test = "import sys; sys.exit(sys.version_info < (3, 11))"
    return Path(python).exists() and subprocess.run([python, "-c", test]).returncode == 0


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """What the user can read: the sandbox and the attacks."""
    if os.getuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    if not _suits(PYTHON):
        pytest.skip(f"no {PYTHON} of a version that will do")
    with tempfile.TemporaryDirectory() as name:
        package, original = Path(name) / "codedistill", Path(codedistill.__file__).parent
        shutil.copytree(original / "sandbox", package / "sandbox", ignore=shutil.ignore_patterns("__pycache__"))
        (package / "__init__.py").touch()
        shutil.copy(original / "errors.py", package)
        shutil.copy(Path(__file__).with_name("attacks.py"), name)
        (Path(name) / "work").mkdir()
        (Path(name) / "work").chmod(0o777)
        Path(name).chmod(0o755)
        yield Path(name)


def _as_nobody(folder: Path, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder / "work"), **variables}
    return subprocess.run(
        [PYTHON, "-c", script],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        cwd="/",
        env=environment,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )


@pytest.fixture(scope="module")
def verdicts(folder: Path) -> dict[str, dict[str, list[list[str]]]]:
    found: dict[str, dict[str, list[list[str]]]] = json.loads(_as_nobody(folder, SCRIPT).stdout)
    return found


@pytest.mark.parametrize("layer", ["landlock", "rlimits"])
@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if attack.everywhere])
def test_attack(verdicts: dict[str, dict[str, list[list[str]]]], layer: str, name: str) -> None:
    if layer not in verdicts:
        pytest.skip("this machine does not have the layer")
    (status, error_type, _), good = verdicts[layer][name]
    assert (status, error_type) == ATTACKS[name].verdict(layer, Isolation.SHARED)
    assert good == ["passed", None, ""]


@pytest.mark.usefixtures("verdicts")
def test_nothing_is_left(folder: Path) -> None:
    assert processes_with(str(folder)) == []
    assert list((folder / "work").iterdir()) == []


SPY = """
from codedistill.sandbox import Limits, Program
from codedistill.sandbox.pool import run_on

source = '''
import os
seen = 0
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        parent = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1]
    except OSError:
        continue
    if pid != str(os.getpid()) and str(os.getppid()) in (pid, parent):
        seen += 1
        for name in ("mem", "environ", "maps"):
            try: os.open(f"/proc/{pid}/{name}", os.O_RDONLY)
            except OSError: continue
            print("could open", name)
assert seen == 2  # the supervisor and the process of the checks
'''
[result] = run_on("rlimits", [Program(source, "def check(f): pass", "seen", "data")], Limits(cpu_seconds=10))
print(result.status, result.message, result.stdout)
"""


def test_the_process_of_the_checks_cannot_be_read_by_its_own_user(folder: Path) -> None:
    assert _as_nobody(folder, SPY).stdout.split() == ["passed"]


CHOICE = """
from codedistill.sandbox import available
available.LAYERS = {"rlimits": available.LAYERS["rlimits"]}
print(available.sandbox_layer())
"""


def test_the_default_layer_needs_no_privileges(folder: Path) -> None:
    found = _as_nobody(folder, CHOICE)
    assert found.stdout == "rlimits+seccomp\n"
    assert "programs can read and change your files" in found.stderr
