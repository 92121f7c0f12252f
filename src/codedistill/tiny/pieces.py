"""The vocabulary of the task generator. Each piece has its words and its code.

A task is source -> predicate (optional) -> map (optional) -> reduction. `{x}` stands for the element,
`{k}` and `{c}` for a constant, `{o}` for the object of a verb in the instruction.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBER, STRING = "number", "string"


@dataclass(frozen=True)
class Source:
    """The origin of the elements. `iterate` is code over the argument `{a}`; `of` names the elements in words."""

    key: str
    kind: str
    arguments: tuple[str, ...]
    of: tuple[str, ...]
    iterate: str


@dataclass(frozen=True)
class Predicate:
    """A condition on one element: `plural` and `singular` complete "those that ..." and "if it ..."."""

    key: str
    kind: str
    plural: str
    singular: str
    code: str
    constants: tuple[str, ...] = ("",)
    signed: bool = False  # makes sense only where elements can be negative


@dataclass(frozen=True)
class Map:
    """A change of one element, `verb` in words and `code` as an expression; `gives` is the kind of the result."""

    key: str
    kind: str
    verb: str
    code: str
    gives: str
    constants: tuple[str, ...] = ("",)
    signed: bool = False


@dataclass(frozen=True)
class Reduction:
    """A computation over the elements.

    `compact` is an expression in which `{g}` is `expression for x in source if condition`; `start`, `step` and `end`
    are the loop, where `{e}` is the expression. If `compact` or `start` is empty, this style does not exist.
    """

    key: str
    kinds: tuple[str, ...]
    words: tuple[str, ...]
    compact: str
    start: str = ""
    step: str = ""
    end: str = ""
    constants: tuple[str, ...] = ("",)


BOTH = (NUMBER, STRING)
SMALL = tuple(str(k) for k in range(2, 10))
WIDER = tuple(str(k) for k in range(1, 13))
LETTERS = tuple("abdeilmnoprst")

SOURCES = (
    Source("list", NUMBER, ("numbers", "nums", "values", "items"), ("the numbers in {a}", "the list {a}"), "{a}"),
    Source("range", NUMBER, ("n", "limit", "top"), ("the numbers from 1 to {a}", "the integers 1 to {a}"),
           "range(1, {a} + 1)"),
    Source("digits", NUMBER, ("n", "number"), ("the digits of {a}",), "map(int, str({a}))"),
    Source("dict_values", NUMBER, ("scores", "prices", "table"),
           ("the values of the dictionary {a}", "the values in {a}"), "{a}.values()"),
    Source("words", STRING, ("words", "names", "strings"), ("the strings in {a}", "the list of strings {a}"), "{a}"),
    Source("split", STRING, ("text", "sentence", "line"), ("the words of the text {a}", "the words in {a}"),
           "{a}.split()"),
    Source("dict_keys", STRING, ("scores", "prices", "table"), ("the keys of the dictionary {a}", "the keys in {a}"),
           "{a}"),
)  # fmt: skip

PREDICATES = (
    Predicate("even", NUMBER, "are even", "is even", "{x} % 2 == 0"),
    Predicate("odd", NUMBER, "are odd", "is odd", "{x} % 2 == 1"),
    Predicate("positive", NUMBER, "are positive", "is positive", "{x} > 0", signed=True),
    Predicate("negative", NUMBER, "are negative", "is negative", "{x} < 0", signed=True),
    Predicate("nonzero", NUMBER, "are not zero", "is not zero", "{x} != 0", signed=True),
    Predicate("above", NUMBER, "are greater than {k}", "is greater than {k}", "{x} > {k}", WIDER),
    Predicate("below", NUMBER, "are less than {k}", "is less than {k}", "{x} < {k}", SMALL),
    Predicate("at_least", NUMBER, "are at least {k}", "is at least {k}", "{x} >= {k}", SMALL),
    Predicate("at_most", NUMBER, "are at most {k}", "is at most {k}", "{x} <= {k}", SMALL),
    Predicate("divisible", NUMBER, "are divisible by {k}", "is divisible by {k}", "{x} % {k} == 0", SMALL[1:]),
    Predicate("not_divisible", NUMBER, "are not divisible by {k}", "is not divisible by {k}", "{x} % {k} != 0",
              SMALL[1:]),
    Predicate("ends_in", NUMBER, "end in the digit {k}", "ends in the digit {k}", "{x} % 10 == {k}", SMALL,
              signed=True),
    Predicate("longer", STRING, "are longer than {k} letters", "is longer than {k} letters", "len({x}) > {k}",
              SMALL[:5]),
    Predicate("shorter", STRING, "are shorter than {k} letters", "is shorter than {k} letters", "len({x}) < {k}",
              SMALL[1:6]),
    Predicate("exact", STRING, "have exactly {k} letters", "has exactly {k} letters", "len({x}) == {k}", SMALL[:5]),
    Predicate("even_length", STRING, "have an even length", "has an even length", "len({x}) % 2 == 0"),
    Predicate("odd_length", STRING, "have an odd length", "has an odd length", "len({x}) % 2 == 1"),
    Predicate("starts", STRING, "start with '{k}'", "starts with '{k}'", "{x}.startswith('{k}')", LETTERS),
    Predicate("ends", STRING, "end with '{k}'", "ends with '{k}'", "{x}.endswith('{k}')", LETTERS),
    Predicate("contains", STRING, "contain '{k}'", "contains '{k}'", "'{k}' in {x}", LETTERS),
    Predicate("lacks", STRING, "do not contain '{k}'", "does not contain '{k}'", "'{k}' not in {x}", LETTERS),
    Predicate("palindrome", STRING, "are palindromes", "is a palindrome", "{x} == {x}[::-1]"),
)  # fmt: skip

MAPS = (
    Map("square", NUMBER, "square {o}", "{x} * {x}", NUMBER),
    Map("cube", NUMBER, "cube {o}", "{x} ** 3", NUMBER),
    Map("double", NUMBER, "double {o}", "{x} * 2", NUMBER),
    Map("negate", NUMBER, "negate {o}", "-{x}", NUMBER),
    Map("absolute", NUMBER, "take the absolute value of {o}", "abs({x})", NUMBER, signed=True),
    Map("add", NUMBER, "add {k} to {o}", "{x} + {k}", NUMBER, SMALL),
    Map("subtract", NUMBER, "subtract {k} from {o}", "{x} - {k}", NUMBER, SMALL),
    Map("multiply", NUMBER, "multiply {o} by {k}", "{x} * {k}", NUMBER, SMALL[1:]),
    Map("divide", NUMBER, "divide {o} by {k} and round down", "{x} // {k}", NUMBER, SMALL),
    Map("remainder", NUMBER, "take the remainder of {o} by {k}", "{x} % {k}", NUMBER, SMALL[1:]),
    Map("cap", NUMBER, "cap {o} at {k}", "min({x}, {k})", NUMBER, SMALL),
    Map("raise_to", NUMBER, "raise {o} to at least {k}", "max({x}, {k})", NUMBER, SMALL),
    Map("as_text", NUMBER, "turn {o} into a string", "str({x})", STRING),
    Map("upper", STRING, "turn {o} into upper case", "{x}.upper()", STRING),
    Map("capitalize", STRING, "capitalize {o}", "{x}.capitalize()", STRING),
    Map("reverse", STRING, "reverse {o}", "{x}[::-1]", STRING),
    Map("twice", STRING, "repeat {o} twice", "{x} * 2", STRING),
    Map("prefix", STRING, "put '{k}' before {o}", "'{k}' + {x}", STRING, LETTERS),
    Map("suffix", STRING, "put '{k}' after {o}", "{x} + '{k}'", STRING, LETTERS),
    Map("remove", STRING, "remove every '{k}' from {o}", "{x}.replace('{k}', '')", STRING, LETTERS),
    Map("head", STRING, "take the first {k} letters of {o}", "{x}[:{k}]", STRING, SMALL[:3]),
    Map("tail", STRING, "take the last {k} letters of {o}", "{x}[-{k}:]", STRING, SMALL[:3]),
    Map("length", STRING, "take the length of {o}", "len({x})", NUMBER),
    Map("occurrences", STRING, "count the letter '{k}' in {o}", "{x}.count('{k}')", NUMBER, LETTERS),
)

_APPEND = ("result = []", "result.append({e})")
REDUCTIONS = (
    Reduction("sum", (NUMBER,), ("the sum", "the total"), "sum({g})", "total = 0", "total += {e}", "return total"),
    Reduction("product", (NUMBER,), ("the product",), "", "result = 1", "result *= {e}", "return result"),
    Reduction("largest", (NUMBER,), ("the largest, or 0 if there is none", "the maximum, 0 if there is none"),
              "max([{g}], default=0)"),
    Reduction("smallest", (NUMBER,), ("the smallest, or 0 if there is none", "the minimum, 0 if there is none"),
              "min([{g}], default=0)"),
    Reduction("running", (NUMBER,), ("the running totals as a list",), "",
              "total = 0\nresult = []", "total += {e}\nresult.append(total)", "return result"),
    Reduction("over", (NUMBER,), ("whether the sum is greater than {k}",), "sum({g}) > {k}",
              "total = 0", "total += {e}", "return total > {k}", ("10", "20", "30", "50")),
    Reduction("list", BOTH, ("a list of the results", "the results as a list"), "[{g}]", *_APPEND, "return result"),
    Reduction("sorted", BOTH, ("a sorted list", "the results in ascending order"), "sorted([{g}])",
              *_APPEND, "return sorted(result)"),
    Reduction("descending", BOTH, ("the results in descending order",), "sorted([{g}], reverse=True)",
              *_APPEND, "return sorted(result, reverse=True)"),
    Reduction("backwards", BOTH, ("the results in reverse order",), "[{g}][::-1]", *_APPEND, "return result[::-1]"),
    Reduction("take", BOTH, ("the first {k} results as a list",), "[{g}][:{k}]",
              *_APPEND, "return result[:{k}]", ("2", "3", "4")),
    Reduction("every_second", BOTH, ("every second result as a list",), "[{g}][::2]", *_APPEND, "return result[::2]"),
    Reduction("count", BOTH, ("how many results there are", "the number of results"), "len([{g}])",
              "count = 0", "count += 1", "return count"),
    Reduction("distinct", BOTH, ("how many different results there are",), "len(set([{g}]))",
              *_APPEND, "return len(set(result))"),
    Reduction("unique", BOTH, ("the different results in ascending order",), "sorted(set([{g}]))",
              *_APPEND, "return sorted(set(result))"),
    Reduction("tally", BOTH, ("a dictionary that counts each result",), "",
              "counts = {{}}", "key = {e}\ncounts[key] = counts.get(key, 0) + 1", "return counts"),
    Reduction("mapping", BOTH, ("a dictionary from each element to its result",), "{{{x}: {g}}}",
              "result = {{}}", "result[{x}] = {e}", "return result"),
    Reduction("join", (STRING,), ("the results joined by '{k}'",), "'{k}'.join([{g}])",
              *_APPEND, "return '{k}'.join(result)", ("-", ",", "+", "/")),
    Reduction("concat", (STRING,), ("the results joined into one string",), "''.join([{g}])",
              "result = ''", "result += {e}", "return result"),
    Reduction("longest", (STRING,), ("the longest, or '' if there is none",), "max([{g}], key=len, default='')"),
    Reduction("shortest", (STRING,), ("the shortest, or '' if there is none",), "min([{g}], key=len, default='')"),
    Reduction("letters", (STRING,), ("the total number of letters",), "sum(len(r) for r in [{g}])",
              "total = 0", "total += len({e})", "return total"),
)  # fmt: skip
