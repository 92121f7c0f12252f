from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_distil_from_python(tmp_path: Path) -> None:
    small = ["training.steps=3", "data.limit=48", "evaluation.limit=5", f"output={tmp_path / 'run'}"]
    script = ROOT / "examples" / "distil_from_python.py"
    done = subprocess.run([sys.executable, str(script), *small], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"teacher +pass@1 \d+\.\d%", done.stdout)
    assert "gained by distilling:" in done.stdout
    assert "two samples each on five tasks: pass@1" in done.stdout
