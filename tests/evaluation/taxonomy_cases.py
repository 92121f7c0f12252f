"""Programs and the category that each belongs to. The function asked for is `f`, and `f([3, 1, 2])` should be 6.

For every category there are programs that belong to it and, as `near`, programs that look alike and belong elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from codedistill.evaluation import Category as C

WRONG_ORDER = "def f(x):\n    return sorted(x)\n"
OVERFLOWING = "def f(x):\n    return sum(x)\n\ndef g(x):\n    return x\n\n"


@dataclass(frozen=True)
class Case:
    """`belongs` is the category; `completion` is what the model wrote where that is not the program itself."""

    belongs: str
    source: str
    check: str = "candidate([3, 1, 2]) == 6"
    cut: bool = False
    completion: str | None = None


def alike(category: str, *sources: str, check: str = Case.check, cut: bool = False) -> list[Case]:
    return [Case(category, source, check, cut) for source in sources]


def body(text: str) -> str:
    return f"def f(x):\n    {text}\n"


COMPLETE = [
    *alike(C.PASSED, body("return sum(x)"), "f = sum\n", "f = lambda x: sum(x)\n", "from math import fsum as f\n"),
    *alike(C.PASSED, "class f:\n    def __new__(cls, x):\n        return sum(x)\n"),
    *alike(C.WRONG_ANSWER, WRONG_ORDER, body("return sum(x) + 1"), body("return max(x)"), body("return str(sum(x))")),
    *alike(C.WRONG_ANSWER, body("x.clear()"), body("y = x"), body("return [x]"), body("return x[0]")),
    # near: an answer that is wrong because there is none, and asserts of the program itself
    *alike(C.EMPTY_FUNCTION, body("return 7"), body('"""Six."""')),
    *alike("AssertionError", body("assert x == []\n    return 6"), "def f(x):\n    return 6\n\nassert f([]) == 0\n"),
]

EMPTY_FUNCTION = [
    *alike(
        C.EMPTY_FUNCTION, body("pass"), body("..."), body('"""Return the sum."""'), body("return 0"), body("return")
    ),
    *alike(C.EMPTY_FUNCTION, body("return None"), body("return []"), body("return {}"), body("return set()")),
    *alike(C.EMPTY_FUNCTION, body("return -1"), body("return ''"), body("'''Sum.'''\n    # TODO\n    return True")),
    *alike(C.EMPTY_FUNCTION, "import math\n\ndef g(x):\n    return sum(x)\n\ndef f(x):\n    pass\n"),
    *alike(C.EMPTY_FUNCTION, body("return sum(x)") + "\n" + body("pass")),
    # the checks fall over the missing answer before they can compare it
    *alike(C.EMPTY_FUNCTION, body("pass"), body("return None"), check="abs(candidate([3, 1, 2]) - 6) < 1e-6"),
    *alike(C.EMPTY_FUNCTION, body("pass"), body("..."), check="candidate([3, 1, 2])[0] == 6"),
    # near
    *alike(C.PASSED, body("return 6")),
    *alike(C.WRONG_ANSWER, body("y = 0"), body("return x"), body("for _ in x:\n        pass"), body("return [0] * 3")),
    *alike(C.WRONG_ANSWER, body("pass\n    return len(x)"), body("pass") + "\n" + body("return len(x)")),
    *alike(C.INCOMPATIBLE_OPERATION, body("y = sum(x)"), check="abs(candidate([3, 1, 2]) - 6) < 1e-6"),
    *alike(C.INCOMPATIBLE_OPERATION, "def f(x, y):\n    return y + x\n"),
]

WRONG_FUNCTION_NAME = [
    *alike(
        C.WRONG_FUNCTION_NAME,
        "def g(x):\n    return sum(x)\n",
        "def solution(x):\n    pass\n",
        "def F(x):\n    return 6\n",
    ),
    *alike(C.WRONG_FUNCTION_NAME, "class Solution:\n    def f(self, x):\n        return sum(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, "def outer(x):\n    def f(y):\n        return sum(y)\n    return f(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, body("return total(x)"), body("return sum(is_even(y) for y in x)")),
    *alike(C.WRONG_FUNCTION_NAME, body("return f_helper(x)") + "\ndef helper(x):\n    return sum(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, "def g(x):\n    return sum(x)\n\nprint(f([1]))\n"),
    # near
    *alike(C.MISSING_CONTENT, "total = 6\n", "import math\n"),
    *alike("NameError", body("return total"), body("return y + 1"), body("return [total] + x")),
    *alike(C.MISSING_IMPORT, body("return sqrt(36)")),
    *alike(C.MISSING_ATTRIBUTE, body("return x.total()")),
]

MISSING_CONTENT = [
    *alike(C.MISSING_CONTENT, "", "\n", "   \n\n", "# f goes here\n", '"""A module."""\n', "x = [1]\n", "import os\n"),
    *[Case(C.MISSING_CONTENT, "", completion=text) for text in (" ", "\n\n")],
    # near
    *alike(C.EMPTY_FUNCTION, body("pass")),
    *alike(C.WRONG_FUNCTION_NAME, "def g(x):\n    return 6\n"),
    *alike("SyntaxError", "I am sorry, I cannot do that.\n", "def f\n"),
    *alike(C.INCOMPATIBLE_OPERATION, "f = 6\n"),
]

MISSING_IMPORT = [
    *alike(C.MISSING_IMPORT, body("return math.floor(6.5)"), body("return np.sum(x)"), body("return Counter(x)[6]")),
    *alike(C.MISSING_IMPORT, body("return reduce(lambda a, b: a + b, x)"), body("return re.sub('a', 'b', str(x))")),
    *alike(C.MISSING_IMPORT, "def f(x: List[int]) -> int:\n    return sum(x)\n", body("return list(permutations(x))")),
    *alike(C.MISSING_IMPORT, "@lru_cache\ndef f(x):\n    return 6\n", body("return defaultdict(int)[6]")),
    *alike(C.MISSING_IMPORT, body("return itertools.accumulate(x)"), body("return string.ascii_lowercase")),
    *alike(C.MISSING_IMPORT, body("return inf"), body("return product(x)"), body("return datetime.date(2000, 1, 6)")),
    # near: variables with a module's name, and functions of one's own
    *alike(
        "NameError", body("return numbers[0]"), body("numbers.append(1)\n    return 6"), body("return string + 'a'")
    ),
    *alike("NameError", body("return string.split()"), body("return product + 1"), body("numbers.append(1)")),
    *alike(C.WRONG_FUNCTION_NAME, body("return is_prime(x)"), body("return calendar(x)")),
    *alike(C.MISSING_ATTRIBUTE, "import math\n\n" + body("return math.summe(x)")),
]

UNBALANCED = [
    *alike(C.UNBALANCED_DELIMITERS, body("return sum(x"), body("return [y for y in x"), body("return {1: 2")),
    *alike(C.UNBALANCED_DELIMITERS, body("return 'abc"), body('"""Return the sum.'), body("return sum(x))")),
    *alike(C.UNBALANCED_DELIMITERS, body("return sum([x)"), body("y = '''abc\n    return y"), body("return (x[0}")),
    *alike(C.UNBALANCED_DELIMITERS, body("return sum(x"), body("print('total: "), cut=True),
    # closed by nothing, which Python calls invalid syntax where it stumbles on the same line
    *alike(C.UNBALANCED_DELIMITERS, body("if (x and (x[0]):\n        return 6"), body("while len(x:\n        pass")),
    *alike(C.UNBALANCED_DELIMITERS, body("for i in range(len(x):\n        return i"), body("if x[0:\n        return")),
    # near
    *alike("SyntaxError", body("return sum x"), body("if x\n        return 1"), body("return 6 +"), body("x = = 1")),
    *alike("SyntaxError", body("return '(' if x else"), body("for y in"), cut=True),
    *alike("SyntaxError", body("if (x y):\n        return 6"), body("return sum(x y,\n        3)"), body("if x  # (")),
    *alike("SyntaxError", body("return sum x") + body("return sum(x"), body("if '(' in x y:\n        pass")),
    *alike(C.PASSED, body("return sum(x)  # (")),
    *alike(C.INCONSISTENT_INDENTATION, "def f(x):\n    y = '('\n      return y\n"),
]

OVERFLOW = [
    *alike(C.FUNCTION_OVERFLOW, OVERFLOWING + "def h(x):\n    return (x", OVERFLOWING + "def h(x", cut=True),
    *alike(C.FUNCTION_OVERFLOW, OVERFLOWING + "def h(x):\n", OVERFLOWING + "def h(x):\n    if x ==", cut=True),
    *alike(
        C.FUNCTION_OVERFLOW, OVERFLOWING + "def h(x):\n    '''Return", OVERFLOWING + "class H:\n    def a(", cut=True
    ),
    *alike(C.FUNCTION_OVERFLOW, OVERFLOWING + "@cache\ndef h(x):\n    return x[", OVERFLOWING + "def", cut=True),
    # near: not at the limit, the asked function itself cut off, or broken before the last one
    *alike(C.UNBALANCED_DELIMITERS, OVERFLOWING + "def h(x):\n    return (x"),
    *alike("SyntaxError", OVERFLOWING + "def h(x):\n    if x =="),
    *alike(C.INCONSISTENT_INDENTATION, OVERFLOWING + "def h(x):\n"),
    *alike(C.UNBALANCED_DELIMITERS, "def g(x):\n    return x\n\ndef f(x):\n    return sum(x", cut=True),
    *alike("SyntaxError", body("return sum x") + "\ndef g(x):\n    return (x", cut=True),
    *alike(C.PASSED, OVERFLOWING, cut=True),
]

VALUE = [
    *alike(C.EMPTY_SEQUENCE, body("return max([])"), body("return min(y for y in x if y > 9)"), body("return max('')")),
    *alike(C.EMPTY_SEQUENCE, body("a, b = []\n    return a"), body("return min({})"), body("return max(set())")),
    *alike(C.DELIBERATE_RAISE, body("raise ValueError"), body("raise ValueError('empty sequence')")),
    *alike(C.DELIBERATE_RAISE, body("if x:\n        raise ValueError('x')"), body("raise ValueError from None")),
    *alike(C.DELIBERATE_RAISE, "def g(x):\n    raise ValueError(x)\n\n" + body("return g(x)")),
    *alike(C.DELIBERATE_RAISE, body("raise NotImplementedError"), body("raise NotImplementedError('later')")),
    *alike(C.INAPPROPRIATE_ARGUMENT, body("return int('six')"), body("return x.index(9)"), body("x.remove(9)")),
    *alike(C.INAPPROPRIATE_ARGUMENT, "import math\n\n" + body("return math.sqrt(-6)"), body("return chr(-1)")),
    *alike(
        C.INAPPROPRIATE_ARGUMENT, body("a, b = x\n    return a"), body("return 'a'.split('')"), body("return int('')")
    ),
    *alike(C.INAPPROPRIATE_ARGUMENT, body("return range(1, 2, 0)"), body("return int('')"), body("return [3, 1][::0]")),
    # near: emptiness and raises under other exceptions
    *alike(C.OUT_OF_RANGE, body("return [][0]"), body("return [].pop()"), body("raise IndexError('none')")),
    *alike(C.INCOMPATIBLE_OPERATION, body("return max()"), body("raise TypeError('no')"), body("raise NotImplemented")),
    *alike(C.MISSING_KEY, body("return set().pop()")),
    *alike("StatisticsError", "import statistics\n\n" + body("return statistics.mean([])")),
    *alike("Exception", body("raise Exception('no')")),
    *alike("UnicodeDecodeError", body("return b'\\xff'.decode()")),
    *alike("E", "class E(ValueError):\n    pass\n\n" + body("raise E")),
]

ONE_EXCEPTION_EACH = [
    *alike(C.OUT_OF_RANGE, body("return x[3]"), body("return x[-4]"), body("return 'ab'[5]"), body("return (1, 2)[2]")),
    *alike(C.OUT_OF_RANGE, body("x[9] = 1"), body("return [].pop()"), body("return x[len(x)]")),
    *alike(C.PASSED, body("return sum(x[:99])")),
    *alike(C.MISSING_KEY, body("return dict(zip(x, x))[9]"), body("return {}['a']"), body("return {}.pop('a')")),
    *alike(C.MISSING_KEY, body("d = {1: 2}\n    del d[5]"), body("set(x).remove(9)"), body("return '{a}'.format(b=1)")),
    *alike(C.WRONG_ANSWER, body("return {}.get('a')"), body("return set(x).discard(9)")),
    *alike("LookupError", body("raise LookupError"), body("return b'6'.decode('utf-9')")),
    *alike(C.INCOMPATIBLE_OPERATION, body("return x + 1"), body("return len(6)"), body("return sum(x, y=1)")),
    *alike(C.INCOMPATIBLE_OPERATION, body("return x()"), body("return None[0]"), body("return '6' + 6")),
    *alike(
        C.INCOMPATIBLE_OPERATION,
        "def f():\n    return len([6])\n",
        "def f(x, y):\n    return y + x\n",
        body("return x['a']"),
        body("return {[]: 6}"),
    ),
    *alike(C.WRONG_ANSWER, body("return x * 2"), body("return '6' * 6")),
    *alike("ZeroDivisionError", body("return 6 / 0"), body("return sum(x) % 0")),
    *alike(C.MISSING_ATTRIBUTE, body("return x.total"), body("return x.push(1)"), body("return None.split()")),
    *alike(C.MISSING_ATTRIBUTE, body("return 'a'.reversed()"), "import math\n\n" + body("return math.summe")),
    *alike(C.MISSING_ATTRIBUTE, "class A:\n    pass\n\n" + body("return A().n")),
    *alike(C.WRONG_ANSWER, body("return getattr(x, 'total', None)")),
    *alike("ImportError", "from math import summe\n\n" + body("return summe(x)")),
    *alike(C.UNASSIGNED_VARIABLE, body("y += 1\n    return y"), body("if not x:\n        y = 1\n    return y")),
    *alike(C.UNASSIGNED_VARIABLE, body("print(y)\n    y = 1"), body("for y in []:\n        pass\n    return y")),
    *alike(C.UNASSIGNED_VARIABLE, body("del x\n    return x"), "n = 0\n\n" + body("n = n + 1\n    return n")),
    *alike("NameError", body("global y\n    return y"), body("return [z for y in x]"), "def f(x=y):\n    return x\n"),
    *alike(C.INFINITE_RECURSION, body("return f(x)"), body("return f(x[1:]) + x[0]"), body("return 1 + f(x + [1])")),
    *alike(
        C.INFINITE_RECURSION,
        "def g(x):\n    return f(x)\n\n" + body("return g(x)"),
        body("return f([f(x)])"),
    ),
    *alike(C.PASSED, body("return x[0] + f(x[1:]) if x else 0")),
    *alike(C.WRONG_ANSWER, "def g(n):\n    return 0 if n == 0 else 1 + g(n - 1)\n\n" + body("return g(200)")),
    *alike("OverflowError", body("return 2.0 ** 10_000"), "import math\n\n" + body("return math.exp(10_000)")),
    *alike(
        C.INCONSISTENT_INDENTATION,
        "def f(x):\nreturn sum(x)\n",
        "def f(x):\n    y = 1\n      return y\n",
        "def f(x):\n",
    ),
    *alike(C.INCONSISTENT_INDENTATION, "def f(x):\n        y = 1\n    return y\n", "  def f(x):\n    return 6\n y = 1"),
    *alike(C.INCONSISTENT_INDENTATION, "def f(x):\n\tif x:\n        return 6\n\treturn 1\n", "def f(x):\n    # sum\n"),
    *alike(C.PASSED, "def f(x):\n  y = sum(x)\n  if y:\n        return y\n", "def f(x):\n\treturn sum(x)\n"),
    *alike("SyntaxError", "def f(x):\n    return sum(x)\nelse:\n    y = 1\n"),
    *alike(C.MISSING_MODULE, "import nosuchmodule\n", "from no_such import a\n", "import os.nosuch\n"),
    *alike(C.MISSING_MODULE, body("import nosuchmodule"), body('"""Sum."""\n    from collect import Counter')),
    *alike(C.MISSING_MODULE, body("import nosuchmodule as n\n    return n.sum(x)"), "import sklearn_extra_x.y as z\n"),
    *alike("ImportError", "from os import nosuch\n", "from collections import Sequence\n", "from . import a\n"),
]

OTHER_ENDS = [
    *alike(
        "early exit", body("raise SystemExit"), "import sys\n\nsys.exit(1)\n", "import os\n\n" + body("os._exit(0)")
    ),
    *alike("ZeroDivisionError", body("return 1 // 0")),
    *alike("KeyboardInterrupt", body("raise KeyboardInterrupt")),
    *alike("TimeoutError", body("raise TimeoutError")),
    *alike("StopIteration", body("return next(iter([]))")),
]

CASES = [
    *COMPLETE,
    *EMPTY_FUNCTION,
    *WRONG_FUNCTION_NAME,
    *MISSING_CONTENT,
    *MISSING_IMPORT,
    *UNBALANCED,
    *OVERFLOW,
    *VALUE,
    *ONE_EXCEPTION_EACH,
    *OTHER_ENDS,
]
