"""Numbers and untrusted text as they are shown.

Text from models and files may hold anything: `visible` comes first, then escaping.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

UNKNOWN = "-"


def known(value: float | None, form: str) -> str | None:
    """The value in a format string; None if it is unknown."""
    return None if value is None else form.format(value)


def percent(share: float) -> str:
    """0.583 as 58.3%."""
    return f"{share * 100:.1f}%"


def points(difference: float) -> str:
    """0.353 as +35.3 points."""
    return f"{difference * 100:+.1f} points"


def interval(low: float, high: float) -> str:
    """(0.291, 0.412) as 29.1 to 41.2%."""
    return f"{low * 100:.1f} to {high * 100:.1f}%"


def signed_interval(bounds: tuple[float, float] | None) -> str:
    """(-0.05, 0.1) as -5.0 to +10.0; a dash for None."""
    return UNKNOWN if bounds is None else f"{bounds[0] * 100:+.1f} to {bounds[1] * 100:+.1f}"


def number(value: float | None) -> str:
    """A measured quantity with four significant digits; a dash for None."""
    return UNKNOWN if value is None else f"{value:.4g}"


def count(number: int) -> str:
    """A number of parameters: 1.5 B, 12.3 M, 845 k."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < size * 1000 else f"{number / size:.0f} {unit}"
    return str(number)


def p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """3725 as 1 h 2 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of control, format, surrogate and line separator characters."""


def visible(text: str) -> str:
    """Control characters, lone surrogates and direction overrides as escapes: text cannot hide or steer anything."""
    shown = []
    for character in text.replace("\r\n", "\n"):
        code = ord(character)
        if character in "\n\t" or unicodedata.category(character) not in HIDDEN:
            shown.append(character)
        else:
            shown.append(f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}")
    return "".join(shown)


def for_markdown(text: str) -> str:
    """Text for one markdown table cell or line, with all markup escaped."""
    return re.sub(r"([\\`*_~$&\[\]<>|#])", r"\\\1", visible(text).replace("\n", " ").replace("\t", " "))


def fenced(code: str, language: str = "") -> str:
    """A fenced block; the fence is longer than any run of backticks in the code."""
    code = visible(code)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", code))])
    return f"{fence}{language}\n{code.rstrip()}\n{fence}\n"


def clipped(text: str, limit: int) -> str:
    """Text up to `limit` characters, and how many are left out."""
    return text if len(text) <= limit else f"{text[:limit]}\n... {len(text) - limit} more characters"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as `a.b` and text; lists are joined by commas, a missing value is a dash."""
    facts: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            facts += flat(value, f"{name}.") or [(name, UNKNOWN)]
        elif isinstance(value, list):
            facts.append((name, ", ".join(map(str, value)) or UNKNOWN))
        else:
            facts.append((name, UNKNOWN if value is None else str(value)))
    return facts
