"""The prompt template that a saved student was trained with."""

from __future__ import annotations

import json
from pathlib import Path

from codedistill.recipe.sections import ModelSpec

TEMPLATE_FILE = "codedistill.json"


def saved_template(spec: ModelSpec) -> str | None:
    """The template that a student of ours was trained with, if `spec` is one's folder."""
    try:
        name = json.loads((Path(spec.path or "") / TEMPLATE_FILE).read_text())["template"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None
