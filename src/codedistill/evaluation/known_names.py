"""Names that programs import rather than define, to tell a forgotten import from any other unknown name."""

from __future__ import annotations

import importlib
import sys

_MEMBERS_OF = {
    "math": "sqrt ceil floor gcd lcm factorial log log2 log10 pi inf nan isclose isqrt comb perm prod sin cos tan",
    "functools": "reduce lru_cache cache cached_property partial wraps cmp_to_key total_ordering",
    "itertools": "permutations combinations combinations_with_replacement product chain groupby accumulate zip_longest "
    "islice cycle takewhile dropwhile starmap pairwise",
    "operator": "itemgetter attrgetter",
    "collections": "Counter defaultdict deque OrderedDict namedtuple ChainMap",
    "typing": "List Dict Tuple Set FrozenSet Optional Union Any Callable Iterable Iterator Generator Sequence Mapping",
    "heapq": "heappush heappop heapify heappushpop nlargest nsmallest",
    "bisect": "bisect_left bisect_right insort",
    "string": "ascii_lowercase ascii_uppercase ascii_letters punctuation",
    "hashlib": "md5 sha256",
    "datetime": "datetime timedelta",
    "statistics": "mean median",
    "random": "randint choice shuffle",
    "and of one each": "deepcopy Decimal Fraction dataclass field Enum auto ABC abstractmethod Path",
}

MEMBERS = frozenset(name for names in _MEMBERS_OF.values() for name in names.split())
"""Members of the standard library's modules that are used bare, as after `from math import sqrt`."""

WORDS = frozenset(
    {"log", "cache", "perm", "comb", "prod", "product", "chain", "cycle", "mean", "median", "choice", "field"}
)
"""Members that are variables' names too: they count only where they are called."""

ALIASES = frozenset({"np", "pd", "plt", "nx", "numpy", "pandas", "scipy", "sympy", "torch", "networkx", "sklearn"})
"""Packages from outside the standard library, and what they are called."""

_CHECKED = (
    "array ast bisect calendar cmath collections copy csv datetime decimal enum fractions functools hashlib heapq io "
    "itertools json math numbers operator os queue random re secrets statistics string struct sys textwrap time types"
)
CHECKED = frozenset(_CHECKED.split())
"""Modules that are looked into. Many have variables' names: in `numbers.append(1)` no import is missing."""


def is_module_member(module: str, attribute: str) -> bool:
    """Whether `module.attribute` reads like a use of a standard module."""
    if module in CHECKED:
        return hasattr(importlib.import_module(module), attribute)
    return module in sys.stdlib_module_names
