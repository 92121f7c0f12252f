"""The meaning of every recipe key, from the descriptions of the fields: docs/recipe.md, and comments in a recipe.

A test compares docs/recipe.md with the output; after a change to a section, write the file again:

    python -m codedistill.recipe.reference > docs/recipe.md
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from codedistill.methods.settings import METHODS, readers
from codedistill.prompts import TEMPLATES
from codedistill.recipe.model import recipe_model, section_of
from codedistill.recipe.sections import ModelSpec, Section

INTRODUCTION = """\
# The recipe

Every key of a recipe. A recipe file holds only what differs from the defaults below. A `key=value` on the command line
replaces the value in the file:

```yaml
# mine.yaml
teacher: /models/big
student: {path: /models/big, keep_layers: 20}
method: kd
training: {steps: 500, learning_rate: 2.0e-5}
```

```bash
codedistill run mine.yaml training.steps=100 'student={path: /models/big, keep_layers: 12}'
```

A key inside a section is written with a dot, as in `training.steps`. Values are YAML. Quote an argument with spaces,
braces or brackets: the shell would split it. A key that does not exist, or that the chosen method does not read, is an
error, and so is an argument that replaces an earlier one. `codedistill recipes show mine.yaml` prints every value that
a run would use. `codedistill recipes validate mine.yaml` checks the recipe, and that its models, data and benchmarks
exist, without loading them or asking the hub.

A `training.steps` on the command line replaces the file's `epochs`, and the other way round. It also shortens the
file's `warmup_steps` if they are more than the steps.

The only key that every recipe needs is `student`; every method but `sft` needs `teacher` too.

A run that is resumed (`resume: auto`) needs the recipe that it was started with. Only the keys marked "may change" may
have another value: they decide where files go, or how much memory is used at once, and not what is trained.
"""

TEMPLATES_INTRODUCTION = """\
## Prompt templates

`template` decides how an instruction becomes the text that the models see. Rows of data with a `prompt` of their own
stay as they are, and rows with `messages` go through the tokenizer's chat template. The part for the input is left out
if a task has none. `\\n` stands for the end of a line.
"""

SCALARS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def recipe_reference() -> str:
    """The whole page as Markdown."""
    model = recipe_model()
    parts = [INTRODUCTION, "## Top level\n", _table(model, "")]
    parts += ["## `teacher` and `student`\n", f"{ModelSpec.__doc__}\n", _table(ModelSpec, "student")]
    for name, field in model.model_fields.items():
        section = section_of(field.annotation)
        if section is not None and section is not ModelSpec:
            text = f"{section.__doc__ or ''} {_listed(readers(name))}".strip()
            parts += [f"## `{name}`\n", f"{text}\n", _table(section, name)]
    parts += [TEMPLATES_INTRODUCTION, "| template | text | needs |", "|---|---|---|"]
    for name, template in TEMPLATES.items():
        shown = "the instruction and its input as one message of the user, in the tokenizer's own chat template"
        needs = "a chat template in the tokenizer"
        if template.text is not None:
            shown = template.text("INSTRUCTION", "INPUT").replace("\n", "\\n")
            shown, needs = f"`{shown}`", ", ".join(f"`{token}`" for token in template.requires)
        parts.append(f"| `{name}` | {shown} | {needs} |")
    return re.sub(r"\b(\w+\.md)", r"[\1](\1)", "\n".join(parts)) + "\n"


def with_meanings(resolved: Mapping[str, Any]) -> str:
    """A resolved recipe as YAML, with the meaning of every key in a comment."""

    lines, model = [], recipe_model()
    for name, field in model.model_fields.items():
        if name not in resolved:
            continue
        described: type[Section] = model
        values, indent = {name: resolved[name]}, ""
        section = section_of(field.annotation)
        if section is not None and isinstance(resolved[name], dict):
            described, values, indent = section, resolved[name], "  "
            lines.append(f"{name}:")
        for key, value in values.items():
            lines.append(f"{indent}{key}: {_yaml(value)}  # {described.model_fields[key].description}")
    return "\n".join(lines)


def _table(section: type[Section], name: str) -> str:
    """A row for every key of a section."""
    rows = ["| key | values | default | |", "|---|---|---|---|"]
    schemas = section.model_json_schema()["properties"]
    for key, field in section.model_fields.items():
        kind = section_of(field.annotation)
        if kind is None:
            values = _values(schemas[key])
        else:
            values = "a model, see below" if kind is ModelSpec else "a section, see below"
        default, shown = field.get_default(call_default_factory=True), ""
        if default not in (None, PydanticUndefined) and not isinstance(default, Section):
            plain = list(default) if isinstance(default, tuple) else default
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{_yaml(plain)}`"
        meaning = (field.description or "") + ("; may change" if field.json_schema_extra else "")
        dotted = f"{name}.{key}"
        if any(dotted in entry.reads for entry in METHODS.values()):
            meaning += f". {_listed(readers(dotted))}".removesuffix(".")
        cells = (f"`{key}`", values, shown, meaning)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _values(field: Mapping[str, Any]) -> str:
    """The allowed values, in words, from a field's JSON schema."""
    if "anyOf" in field:
        return " or ".join(_values(each) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        return "two numbers" if "prefixItems" in field else "list of text"
    if field["type"] == "object":
        return "mapping"
    limits = [
        f"{word} {field[key] if isinstance(field[key], int) else format(field[key], 'g')}"
        for key, word in LIMITS.items()
        if key in field
    ]
    return SCALARS[field["type"]] + (f", {' and '.join(limits)}" if limits else "")


def _yaml(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.strip().removesuffix("...").strip()


def _listed(methods: list[str]) -> str:
    """The methods that read a key or section; empty if all do."""
    *names, last = [f"`{name}`" for name in methods] or [""]
    if not last:
        return ""
    return f"Read by {', '.join(names)} and {last}." if names else f"Read by {last}."


if __name__ == "__main__":
    print(recipe_reference(), end="")
