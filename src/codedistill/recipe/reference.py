"""What every recipe key means, from the descriptions in its sections: docs/recipe.md, and comments in a recipe.

A test compares docs/recipe.md with what this makes; after a change to a section, write the file again:

    python -m codedistill.recipe.reference > docs/recipe.md
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from codedistill.methods import METHODS
from codedistill.prompts import TEMPLATES, Template
from codedistill.recipe import sections
from codedistill.recipe.model import Recipe
from codedistill.recipe.sections import Section

INTRODUCTION = """\
# The recipe

Every key of a recipe. A recipe file holds only what differs from the defaults below. A `key=value` on the command line
replaces what the file says:

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
braces or brackets: the shell would take it apart. A key that does not exist, or that the chosen method does not
read, is an error. `codedistill recipes show mine.yaml` prints every value that a run would use, and
`codedistill recipes validate mine.yaml` checks the file without running it.

The only key that every recipe needs is `student`; every method but `sft` needs `teacher` too.
"""

TEMPLATES_INTRODUCTION = """\
## Prompt templates

`template` says how an instruction becomes the text that the models see. Rows of data with a `prompt` of their own stay
as they are, and rows with `messages` go through the tokenizer's chat template. The input's part is left out where a
task has none. `\\n` stands for the end of a line.
"""

SCALARS = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}


def recipe_reference() -> str:
    """The whole page as Markdown."""
    parts = [INTRODUCTION, "## Top level\n", _table(Recipe, "")]
    parts += ["## `teacher` and `student`\n", f"{_linked(sections.ModelSpec)}\n", _table(sections.ModelSpec, "student")]
    for name, field in Recipe.model_json_schema()["properties"].items():
        reference = _reference(field)
        if reference and name not in ("teacher", "student"):
            section = getattr(sections, reference)
            parts += [f"## `{name}`\n", f"{_linked(section)}{_readers_of_section(name)}\n", _table(section, name)]
    parts += [TEMPLATES_INTRODUCTION, _templates()]
    return "\n".join(parts)


def with_meanings(resolved: Mapping[str, Any]) -> str:
    """A resolved recipe as YAML, with the meaning of every key as a comment behind it."""
    lines = []
    for name, schema in Recipe.model_json_schema()["properties"].items():
        if name not in resolved:
            continue
        value, reference = resolved[name], _reference(schema)
        if reference and isinstance(value, dict):
            lines += [f"{name}:", *(f"  {line}" for line in _commented(getattr(sections, reference), value))]
        else:
            lines += _commented(Recipe, {name: value})
    return "\n".join(lines)


def _commented(section: type[Section], values: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {_yaml(value)}  # {section.model_fields[key].description}" for key, value in values.items()]


def _yaml(value: Any) -> str:
    """A value on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf)
    return text.strip().removesuffix("...").strip()


def _linked(section: type[Section]) -> str:
    """What a section says of itself."""
    return _with_links(section.__doc__ or "")


def _with_links(text: str) -> str:
    return re.sub(r"\b(\w+\.md)", r"[\1](\1)", text)


def _table(section: type[Section], name: str) -> str:
    """A row for every key of a section."""
    rows = ["| key | values | default | |", "|---|---|---|---|"]
    for key, schema in section.model_json_schema()["properties"].items():
        default = section.model_fields[key].get_default(call_default_factory=True)
        meaning = _with_links(schema["description"]) + _readers_of_key(name, key)
        cells = (f"`{key}`", _values(schema), _default(default), meaning)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def _reference(field: Mapping[str, Any]) -> str:
    """The name of the section that a key holds; empty for a plain value."""
    for each in (field, *field.get("anyOf", ())):
        if "$ref" in each:
            return str(each["$ref"]).rsplit("/", 1)[-1]
    return ""


def _values(field: Mapping[str, Any]) -> str:
    """What may be set, in words."""
    if name := _reference(field):
        return "a model, see below" if name == "ModelSpec" else "a section, see below"
    if "anyOf" in field:
        return " or ".join(_values(each) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field["type"] == "array":
        return "two numbers" if "prefixItems" in field else "list of text"
    if field["type"] == "object":
        return "mapping"
    return SCALARS[field["type"]] + _range(field)


def _range(field: Mapping[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    limits = [f"{word} {_exact(field[key])}" for key, word in words.items() if key in field]
    return f", {' and '.join(limits)}" if limits else ""


def _exact(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _default(value: Any) -> str:
    if value in (None, PydanticUndefined) or isinstance(value, Section):
        return ""
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{_yaml(list(value) if isinstance(value, tuple) else value)}`"


def _readers_of_section(section: str) -> str:
    """Which methods read the section, where not all do."""
    if not any(section in entry.reads for entry in METHODS.values()):
        return ""
    names = [name for name, entry in METHODS.items() if section in entry.reads]
    return f" Read by the method{'s' if len(names) > 1 else ''} {_listed(names)}."


def _readers_of_key(section: str, key: str) -> str:
    names = [name for name, entry in METHODS.items() if f"{section}.{key}" in entry.reads]
    return f". Read by {_listed(names)}" if names else ""


def _listed(names: list[str]) -> str:
    quoted = [f"`{name}`" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]


def _templates() -> str:
    rows = ["| template | text | needs |", "|---|---|---|"]
    for name, template in TEMPLATES.items():
        rows.append(f"| `{name}` | {_text(template)} | {_needs(template)} |")
    return "\n".join(rows) + "\n"


def _text(template: Template) -> str:
    if template.text is None:
        return "the instruction and its input as one message of the user, in the tokenizer's own chat template"
    shown = template.text("INSTRUCTION", "INPUT").replace("\n", "\\n")
    return f"`{shown}`"


def _needs(template: Template) -> str:
    if template.text is None:
        return "a chat template in the tokenizer"
    return ", ".join(f"`{token}`" for token in template.requires)


if __name__ == "__main__":
    print(recipe_reference(), end="")
