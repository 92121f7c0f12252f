"""Random arguments for the tests of a task."""

from __future__ import annotations

import random

_WORDS = (
    "a ant apple arena banana bed blue bread cat civic cloud deed desk dinner door dream eel ember eve figs "
    "garden green hat idea iron island kayak kid lamp lemon level linen madam map melon mint moon noon open "
    "orange pear pine plate pop radar rain red river road rotor salt sand sea seed silver stone storm sun table "
    "tent time toast tree Up Island Moon Apple window winter Tree"
)
LEXICON = _WORDS.split()


def draw_argument(source: str, rng: random.Random, size: int) -> object:
    """One argument for a function over `source`. `size` 0 is the empty case; larger sizes give longer arguments."""
    count = 0 if size == 0 else size + rng.randint(0, 3)
    match source:
        case "list":
            return [rng.randint(-12, 25) for _ in range(count)]
        case "range":
            return 0 if size == 0 else rng.randint(1, 6 + 3 * size)
        case "digits":
            return 0 if size == 0 else rng.randint(10**size, 10 ** (size + 1) - 1)
        case "dict_values" | "dict_keys":
            return {rng.choice(LEXICON): rng.randint(-9, 25) for _ in range(count)}
        case "words":
            return [rng.choice(LEXICON) for _ in range(count)]
        case "split":
            return " ".join(rng.choice(LEXICON) for _ in range(count))
    raise KeyError(source)
