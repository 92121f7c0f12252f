"""Programs and the category that each belongs to. The function asked for is `f`, and `f([3, 1, 2])` should be 6.

For every category there are programs that belong to it (`alike`), and programs that look alike and belong elsewhere
(`near`).
"""

from __future__ import annotations

from dataclasses import dataclass

from codedistill.evaluation import Category as C

WRONG_ORDER = "def f(x):\n    return sorted(x)\n"
OVERFLOWING = "def f(x):\n    return sum(x)\n\ndef g(x):\n    return x\n\n"
SIX = "candidate([3, 1, 2]) == 6"
ABOUT_SIX = "abs(candidate([3, 1, 2]) - 6) < 1e-6"


@dataclass(frozen=True)
class Case:
    """`belongs` is the category, `near` one that the program only looks like; `completion` is what the model wrote
    where that is not the program itself. `slow` programs get a short time limit."""

    belongs: str
    source: str
    check: str = SIX
    cut: bool = False
    completion: str | None = None
    near: str | None = None
    slow: bool = False


def alike(category: str, *sources: str, check: str = SIX, cut: bool = False, slow: bool = False) -> list[Case]:
    return [Case(category, source, check, cut, slow=slow) for source in sources]


def near(
    category: str, belongs: str, *sources: str, check: str = SIX, cut: bool = False, slow: bool = False
) -> list[Case]:
    return [Case(belongs, source, check, cut, near=category, slow=slow) for source in sources]


def body(text: str) -> str:
    return f"def f(x):\n    {text}\n"


COMPLETE = [
    *alike(C.PASSED, body("return sum(x)"), "f = sum\n", "f = lambda x: sum(x)\n", "from math import fsum as f\n"),
    *alike(C.PASSED, "class f:\n    def __new__(cls, x):\n        return sum(x)\n"),
    *near(C.PASSED, C.WRONG_ANSWER, body("return sum(x) + 1"), body("return str(sum(x))"), body("return [sum(x)]")),
    *near(C.PASSED, C.WRONG_FUNCTION_NAME, "def F(x):\n    return sum(x)\n"),
    *near(C.PASSED, "early exit", body("raise SystemExit(0)")),
    *alike(C.WRONG_ANSWER, WRONG_ORDER, body("return max(x)"), body("x.clear()"), body("y = x")),
    *alike(C.WRONG_ANSWER, body("return [x]"), body("return x[0]"), body("return [y for y in x]")),
    *near(C.WRONG_ANSWER, C.EMPTY_FUNCTION, body("return 7"), body('"""Six."""')),
    *near(C.WRONG_ANSWER, "AssertionError", body("assert x == []\n    return 6")),
    *near(C.WRONG_ANSWER, "AssertionError", "def f(x):\n    return 6\n\nassert f([]) == 0\n"),
]

EMPTY_FUNCTION = [
    *alike(C.EMPTY_FUNCTION, body("pass"), body("..."), body('"""Return the sum."""'), body("return 0")),
    *alike(C.EMPTY_FUNCTION, body("return"), body("return None"), body("return []"), body("return {}")),
    *alike(C.EMPTY_FUNCTION, body("return set()"), body("return -1"), body("return ''"), body("return dict()")),
    *alike(C.EMPTY_FUNCTION, body("return ()"), body("return 'Hello, world'"), body("return not True")),
    *alike(C.EMPTY_FUNCTION, body("'''Sum.'''\n    # TODO\n    return True")),
    *alike(C.EMPTY_FUNCTION, "import math\n\ndef g(x):\n    return sum(x)\n\ndef f(x):\n    pass\n"),
    *alike(C.EMPTY_FUNCTION, body("return sum(x)") + "\n" + body("pass")),
    *alike(C.EMPTY_FUNCTION, "f = lambda x: None\n", "f = lambda x: []\n", body("return 6") + "\nf = lambda x: 0\n"),
    *alike(C.EMPTY_FUNCTION, "async def f(x):\n    pass\n"),
    # the checks fall over the missing answer before they can compare it
    *alike(C.EMPTY_FUNCTION, body("pass"), body("return None"), "f = lambda x: None\n", check=ABOUT_SIX),
    *alike(C.EMPTY_FUNCTION, body("pass"), body("..."), check="candidate([3, 1, 2])[0] == 6"),
    *near(C.EMPTY_FUNCTION, C.PASSED, body("return 6"), "f = lambda x: 6\n"),
    *near(C.EMPTY_FUNCTION, C.WRONG_ANSWER, body("y = 0"), body("return x"), body("for _ in x:\n        pass")),
    *near(C.EMPTY_FUNCTION, C.WRONG_ANSWER, body("return [0] * 3"), body("pass\n    return len(x)")),
    *near(
        C.EMPTY_FUNCTION, C.WRONG_ANSWER, body("pass") + "\n" + body("return len(x)"), "f = lambda x: [0] * len(x)\n"
    ),
    *near(C.EMPTY_FUNCTION, C.WRONG_ANSWER, body("return [1, 2, 3]"), body("return (3, 'abc')"), body("return {1: 2}")),
    *near(C.EMPTY_FUNCTION, C.WRONG_ANSWER, body("return {1, 2}"), body("return [[]]"), "f = lambda x: [1]\n"),
    *near(
        C.EMPTY_FUNCTION, C.WRONG_ANSWER, body("pass") + "\nf = max\n", "f = lambda x: None\n" + body("return max(x)")
    ),
    *near(C.EMPTY_FUNCTION, C.WRONG_ANSWER, "async def f(x):\n    return sum(x)\n"),
    *near(C.EMPTY_FUNCTION, C.INCOMPATIBLE_OPERATION, body("y = sum(x)"), check=ABOUT_SIX),
    *near(C.EMPTY_FUNCTION, C.INCOMPATIBLE_OPERATION, "def f(x, y):\n    return y + x\n", "def f():\n    pass\n"),
    *near(C.EMPTY_FUNCTION, C.INCOMPATIBLE_OPERATION, "def f(a, b):\n    return 0\n", "f = lambda a, b: None\n"),
]

WRONG_FUNCTION_NAME = [
    *alike(
        C.WRONG_FUNCTION_NAME,
        "def g(x):\n    return sum(x)\n",
        "def solution(x):\n    pass\n",
        "def F(x):\n    return 6\n",
    ),
    *alike(C.WRONG_FUNCTION_NAME, "class Solution:\n    def f(self, x):\n        return sum(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, "async def g(x):\n    return sum(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, "def outer(x):\n    def f(y):\n        return sum(y)\n    return f(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, body("return total(x)"), body("return sum(is_even(y) for y in x)")),
    *alike(C.WRONG_FUNCTION_NAME, body("return f_helper(x)") + "\ndef helper(x):\n    return sum(x)\n"),
    *alike(C.WRONG_FUNCTION_NAME, "def g(x):\n    return sum(x)\n\nprint(f([1]))\n"),
    *alike(C.WRONG_FUNCTION_NAME, body("return merge(x, x)"), body("return search(x, 6)"), body("return add(x[0], 5)")),
    *near(C.WRONG_FUNCTION_NAME, C.MISSING_CONTENT, "total = 6\n", "import math\n"),
    *near(C.WRONG_FUNCTION_NAME, "NameError", body("return total"), body("return y + 1"), body("return [total] + x")),
    *near(C.WRONG_FUNCTION_NAME, C.MISSING_IMPORT, body("return sqrt(36)")),
    *near(C.WRONG_FUNCTION_NAME, C.MISSING_ATTRIBUTE, body("return x.total()")),
]

MISSING_CONTENT = [
    *alike(C.MISSING_CONTENT, "", "\n", "   \n\n", "# f goes here\n", '"""A module."""\n', "x = [1]\n", "import os\n"),
    *[Case(C.MISSING_CONTENT, "", completion=text) for text in (" ", "\n\n")],
    *near(C.MISSING_CONTENT, C.EMPTY_FUNCTION, body("pass")),
    *near(C.MISSING_CONTENT, C.WRONG_FUNCTION_NAME, "def g(x):\n    return 6\n"),
    *near(C.MISSING_CONTENT, "SyntaxError", "I am sorry, I cannot do that.\n", "def f\n"),
    *near(C.MISSING_CONTENT, C.INCOMPATIBLE_OPERATION, "f = 6\n"),
]

CALLED_BARE = (
    "exp atan2 hypot radians count repeat sample mul dumps mode stdev TypeVar date sleep sqrt gcd reduce deque Counter "
    "choice permutations product log deepcopy namedtuple insort perf_counter getsizeof fsum truediv itemgetter"
)
AS_TYPES = "Type Literal Deque NamedTuple List Optional Callable Decimal Path Enum"
VARIABLES = "email token code keyword html abc select cmd string queue numbers array copy test symbol calendar"
"""Names of modules that are variables' names, too."""

MISSING_IMPORT = [
    *alike(C.MISSING_IMPORT, *[body(f"return {name}(x, x)") for name in CALLED_BARE.split()]),
    *alike(C.MISSING_IMPORT, *[f"def f(x: {name}) -> int:\n    return sum(x)\n" for name in AS_TYPES.split()]),
    *alike(C.MISSING_IMPORT, body("return tf.constant(x)"), body("return requests.get(x)"), body("return np.sum(x)")),
    *alike(C.MISSING_IMPORT, body("return math.floor(6.5)"), body("return re.sub('a', 'b', str(x))")),
    *alike(C.MISSING_IMPORT, "def f(x: List[int]) -> int:\n    return sum(x)\n", body("return list(map(sqrt, x))")),
    *alike(C.MISSING_IMPORT, "@lru_cache\ndef f(x):\n    return 6\n", body("return defaultdict(int)[6]")),
    *alike(C.MISSING_IMPORT, body("return itertools.accumulate(x)"), body("return string.ascii_lowercase")),
    *alike(C.MISSING_IMPORT, body("return inf"), body("return pi"), body("return datetime.date(2000, 1, 6)")),
    *alike(C.MISSING_IMPORT, body("from functools import reduce\n    return reduce(mul, x)"), body("return os.path")),
    *alike(C.MISSING_IMPORT, body("return sorted(x, key=itemgetter)"), body("return urllib.parse.quote('a')")),
    *alike(
        C.MISSING_IMPORT, body("return math.summe(x)"), "@dataclass\nclass A:\n    n: int\n\n" + body("return A(6).n")
    ),
    # variables with a module's name or a function's, and functions of one's own
    *near(C.MISSING_IMPORT, "NameError", *[body(f"return {name}.lower()") for name in VARIABLES.split()]),
    *near(C.MISSING_IMPORT, "NameError", *[body(f"return {name}[0]") for name in VARIABLES.split()]),
    *near(C.MISSING_IMPORT, "NameError", body("numbers.append(1)\n    return 6"), body("return string + 'a'")),
    *near(C.MISSING_IMPORT, "NameError", body("return product + 1"), body("return count"), body("return [mode, date]")),
    *near(C.MISSING_IMPORT, "NameError", body("return max(count, 3)"), body("return np + 1"), body("return T")),
    *near(C.MISSING_IMPORT, C.WRONG_FUNCTION_NAME, body("return is_prime(x)"), body("return calendar(x)")),
    *near(C.MISSING_IMPORT, C.MISSING_ATTRIBUTE, "import math\n\n" + body("return math.summe(x)")),
]

UNBALANCED = [
    *alike(C.UNBALANCED_DELIMITERS, body("return sum(x"), body("return [y for y in x"), body("return {1: 2")),
    *alike(C.UNBALANCED_DELIMITERS, body("return 'abc"), body('"""Return the sum.'), body("return sum(x))")),
    *alike(C.UNBALANCED_DELIMITERS, body("return sum([x)"), body("y = '''abc\n    return y"), body("return (x[0}")),
    *alike(C.UNBALANCED_DELIMITERS, body("return sum(x"), body("print('total: "), cut=True),
    *alike(C.UNBALANCED_DELIMITERS, body("return f'{x}}'"), body("return f'{x'"), body("return f'{x[0}'")),
    # closed by nothing, which Python calls invalid syntax where it stumbles on the same line
    *alike(C.UNBALANCED_DELIMITERS, body("if (x and (x[0]):\n        return 6"), body("while len(x:\n        pass")),
    *alike(C.UNBALANCED_DELIMITERS, body("for i in range(len(x):\n        return i"), body("if x[0:\n        return")),
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", body("return sum x"), body("if x\n        return 1")),
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", body("return 6 +"), body("x = = 1"), body("return f'{}'")),
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", body("return '(' if x else"), body("for y in"), cut=True),
    *near(
        C.UNBALANCED_DELIMITERS, "SyntaxError", body("if (x y):\n        return 6"), body("return sum(x y,\n        3)")
    ),
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", body("if x  # ("), body("if '(' in x y:\n        pass")),
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", body("return sum x") + body("return sum(x")),
    # prose: Python sees quotes and brackets in it
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", "I am sorry (I cannot do that.\n", "Here's the code you want:\n"),
    *near(
        C.UNBALANCED_DELIMITERS, "SyntaxError", body("pass") + "\nThis is the sum (see above.\n", "That won't work\n"
    ),
    *near(C.UNBALANCED_DELIMITERS, "SyntaxError", body("pass") + "\n1. Don't use x :)\n", "Sure, it is easy :-)\n"),
    *near(C.UNBALANCED_DELIMITERS, C.PASSED, body("return sum(x)  # (")),
    *near(C.UNBALANCED_DELIMITERS, C.INCONSISTENT_INDENTATION, "def f(x):\n    y = '('\n      return y\n"),
]

OVERFLOW = [
    *alike(C.FUNCTION_OVERFLOW, OVERFLOWING + "def h(x):\n    return (x", OVERFLOWING + "def h(x", cut=True),
    *alike(C.FUNCTION_OVERFLOW, OVERFLOWING + "def h(x):\n", OVERFLOWING + "def h(x):\n    if x ==", cut=True),
    *alike(
        C.FUNCTION_OVERFLOW, OVERFLOWING + "def h(x):\n    '''Return", OVERFLOWING + "class H:\n    def a(", cut=True
    ),
    *alike(C.FUNCTION_OVERFLOW, OVERFLOWING + "@cache\ndef h(x):\n    return x[", OVERFLOWING + "def", cut=True),
    *alike(C.FUNCTION_OVERFLOW, body("return sum(x)") + "\nasync def h(x):\n    return (", cut=True),
    # not at the limit, the asked function itself cut off, or broken before the last one
    *near(C.FUNCTION_OVERFLOW, C.UNBALANCED_DELIMITERS, OVERFLOWING + "def h(x):\n    return (x"),
    *near(C.FUNCTION_OVERFLOW, "SyntaxError", OVERFLOWING + "def h(x):\n    if x =="),
    *near(C.FUNCTION_OVERFLOW, C.INCONSISTENT_INDENTATION, OVERFLOWING + "def h(x):\n"),
    *near(
        C.FUNCTION_OVERFLOW, C.UNBALANCED_DELIMITERS, "def g(x):\n    return x\n\ndef f(x):\n    return sum(x", cut=True
    ),
    *near(C.FUNCTION_OVERFLOW, "SyntaxError", body("return sum x") + "\ndef g(x):\n    return (x", cut=True),
    *near(C.FUNCTION_OVERFLOW, C.PASSED, OVERFLOWING, cut=True),
]

VALUE = [
    *alike(C.EMPTY_SEQUENCE, body("return max([])"), body("return min(y for y in x if y > 9)"), body("return max('')")),
    *alike(C.EMPTY_SEQUENCE, body("a, b = []\n    return a"), body("return min({})"), body("return max(set())")),
    # emptiness under other exceptions, which decide
    *near(C.EMPTY_SEQUENCE, C.OUT_OF_RANGE, body("return [][0]"), body("return [].pop()")),
    *near(C.EMPTY_SEQUENCE, C.OUT_OF_RANGE, "import random\n\n" + body("return random.choice([])")),
    *near(
        C.EMPTY_SEQUENCE, C.INCOMPATIBLE_OPERATION, "from functools import reduce\n\n" + body("return reduce(max, [])")
    ),
    *near(C.EMPTY_SEQUENCE, C.MISSING_KEY, body("return set().pop()")),
    *near(C.EMPTY_SEQUENCE, "StatisticsError", "import statistics\n\n" + body("return statistics.mean([])")),
    *near(C.EMPTY_SEQUENCE, C.DELIBERATE_RAISE, body("raise ValueError('empty sequence')")),
    *near(C.EMPTY_SEQUENCE, C.INAPPROPRIATE_ARGUMENT, body("return int('')"), body("return 'a'.split('')")),
    *alike(C.DELIBERATE_RAISE, body("raise ValueError"), body("raise ValueError('six')")),
    *alike(C.DELIBERATE_RAISE, body("if x:\n        raise ValueError('x')"), body("raise ValueError from None")),
    *alike(C.DELIBERATE_RAISE, "def g(x):\n    raise ValueError(x)\n\n" + body("return g(x)")),
    *alike(C.DELIBERATE_RAISE, body("raise NotImplementedError"), body("raise NotImplementedError('later')")),
    *near(C.DELIBERATE_RAISE, C.OUT_OF_RANGE, body("raise IndexError('none')")),
    *near(C.DELIBERATE_RAISE, C.INCOMPATIBLE_OPERATION, body("raise TypeError('no')"), body("raise NotImplemented")),
    *near(C.DELIBERATE_RAISE, "Exception", body("raise Exception('no')")),
    *near(C.DELIBERATE_RAISE, "E", "class E(ValueError):\n    pass\n\n" + body("raise E")),
    *alike(C.INAPPROPRIATE_ARGUMENT, body("return int('six')"), body("return x.index(9)"), body("x.remove(9)")),
    *alike(C.INAPPROPRIATE_ARGUMENT, "import math\n\n" + body("return math.sqrt(-6)"), body("return chr(-1)")),
    *alike(C.INAPPROPRIATE_ARGUMENT, body("a, b = x\n    return a"), body("return range(1, 2, 0)")),
    *alike(C.INAPPROPRIATE_ARGUMENT, body("return [3, 1][::0]")),
    *near(C.INAPPROPRIATE_ARGUMENT, C.INCOMPATIBLE_OPERATION, body("return max()"), body("return chr('a')")),
    *near(C.INAPPROPRIATE_ARGUMENT, "UnicodeDecodeError", body("return b'\\xff'.decode()")),
    *near(C.INAPPROPRIATE_ARGUMENT, "OverflowError", body("return 'a' * 10 ** 100")),
]

ONE_EXCEPTION_EACH = [
    *alike(C.OUT_OF_RANGE, body("return x[3]"), body("return x[-4]"), body("return 'ab'[5]"), body("return (1, 2)[2]")),
    *alike(C.OUT_OF_RANGE, body("x[9] = 1"), body("return [].pop()"), body("return x[len(x)]")),
    *near(C.OUT_OF_RANGE, C.PASSED, body("return sum(x[:99])")),
    *near(C.OUT_OF_RANGE, C.MISSING_KEY, body("return dict(enumerate(x))[9]")),
    *near(C.OUT_OF_RANGE, "LookupError", body("raise LookupError")),
    *alike(C.MISSING_KEY, body("return dict(zip(x, x))[9]"), body("return {}['a']"), body("return {}.pop('a')")),
    *alike(C.MISSING_KEY, body("d = {1: 2}\n    del d[5]"), body("set(x).remove(9)"), body("return '{a}'.format(b=1)")),
    *near(C.MISSING_KEY, C.WRONG_ANSWER, body("return {}.get('a')"), body("return set(x).discard(9)")),
    *near(C.MISSING_KEY, "LookupError", body("return b'6'.decode('utf-9')")),
    *alike(C.INCOMPATIBLE_OPERATION, body("return x + 1"), body("return len(6)"), body("return sum(x, y=1)")),
    *alike(C.INCOMPATIBLE_OPERATION, body("return x()"), body("return None[0]"), body("return '6' + 6")),
    *alike(C.INCOMPATIBLE_OPERATION, "def f():\n    return len([6])\n", "def f(x, y):\n    return y + x\n"),
    *alike(C.INCOMPATIBLE_OPERATION, body("return x['a']"), body("return {[]: 6}")),
    *near(C.INCOMPATIBLE_OPERATION, C.WRONG_ANSWER, body("return x * 2"), body("return '6' * 6")),
    *near(C.INCOMPATIBLE_OPERATION, "ZeroDivisionError", body("return 6 / 0"), body("return sum(x) % 0")),
    *alike(C.MISSING_ATTRIBUTE, body("return x.total"), body("return x.push(1)"), body("return None.split()")),
    *alike(C.MISSING_ATTRIBUTE, body("return 'a'.reversed()"), "import math\n\n" + body("return math.summe")),
    *alike(C.MISSING_ATTRIBUTE, "class A:\n    pass\n\n" + body("return A().n")),
    *near(C.MISSING_ATTRIBUTE, C.WRONG_ANSWER, body("return getattr(x, 'total', None)")),
    *near(C.MISSING_ATTRIBUTE, "ImportError", "from math import summe\n\n" + body("return summe(x)")),
    *near(C.MISSING_ATTRIBUTE, C.MISSING_KEY, body("return {}['total']")),
    *alike(C.UNASSIGNED_VARIABLE, body("y += 1\n    return y"), body("if not x:\n        y = 1\n    return y")),
    *alike(C.UNASSIGNED_VARIABLE, body("print(y)\n    y = 1"), body("for y in []:\n        pass\n    return y")),
    *alike(C.UNASSIGNED_VARIABLE, body("del x\n    return x"), "n = 0\n\n" + body("n = n + 1\n    return n")),
    *near(C.UNASSIGNED_VARIABLE, "NameError", body("global y\n    return y"), body("return [z for y in x]")),
    *near(C.UNASSIGNED_VARIABLE, "NameError", "def f(x=y):\n    return x\n"),
    *alike(C.INFINITE_RECURSION, body("return f(x)"), body("return f(x[1:]) + x[0]"), body("return 1 + f(x + [1])")),
    *alike(
        C.INFINITE_RECURSION,
        "def g(x):\n    return f(x)\n\n" + body("return g(x)"),
        body("return f([f(x)])"),
    ),
    *near(C.INFINITE_RECURSION, C.PASSED, body("return x[0] + f(x[1:]) if x else 0")),
    *near(
        C.INFINITE_RECURSION,
        C.WRONG_ANSWER,
        "def g(n):\n    return 0 if n == 0 else 1 + g(n - 1)\n\n" + body("return g(200)"),
    ),
    *near(C.INFINITE_RECURSION, C.OUT_OF_RANGE, body("return x[0] + f(x[1:])")),
    *near(C.INFINITE_RECURSION, "OverflowError", body("return 2.0 ** 10_000")),
    *alike(
        C.INCONSISTENT_INDENTATION,
        "def f(x):\nreturn sum(x)\n",
        "def f(x):\n    y = 1\n      return y\n",
        "def f(x):\n",
    ),
    *alike(C.INCONSISTENT_INDENTATION, "def f(x):\n        y = 1\n    return y\n", "  def f(x):\n    return 6\n y = 1"),
    *alike(C.INCONSISTENT_INDENTATION, "def f(x):\n\tif x:\n        return 6\n\treturn 1\n", "def f(x):\n    # sum\n"),
    *near(C.INCONSISTENT_INDENTATION, C.PASSED, "def f(x):\n  y = sum(x)\n  if y:\n        return y\n"),
    *near(C.INCONSISTENT_INDENTATION, C.PASSED, "def f(x):\n\treturn sum(x)\n"),
    *near(C.INCONSISTENT_INDENTATION, "SyntaxError", "def f(x):\n    return sum(x)\nelse:\n    y = 1\n"),
    *alike(C.MISSING_MODULE, "import nosuchmodule\n", "from no_such import a\n", "import os.nosuch\n"),
    *alike(C.MISSING_MODULE, body("import nosuchmodule"), body('"""Sum."""\n    from collect import Counter')),
    *alike(C.MISSING_MODULE, body("import nosuchmodule as n\n    return n.sum(x)"), "import sklearn_extra_x.y as z\n"),
    *near(C.MISSING_MODULE, "ImportError", "from os import nosuch\n", "from . import a\n"),
    *near(C.MISSING_MODULE, "ImportError", "from collections import Sequence\n"),
    *near(C.MISSING_MODULE, "NameError", body("return nosuchmodule.sum(x)")),
]

TIMEOUT = [
    *alike(C.EXECUTION_TIMEOUT, body("while True:\n        pass"), "while True:\n    pass\n", slow=True),
    *alike(C.EXECUTION_TIMEOUT, body("import time\n    time.sleep(99)\n    return sum(x)"), slow=True),
    *alike(C.EXECUTION_TIMEOUT, body("n = 0\n    while n >= 0:\n        n += 1\n    return n"), slow=True),
    *alike(C.EXECUTION_TIMEOUT, body("return sum(1 for _ in iter(int, 1))"), slow=True),
    *near(C.EXECUTION_TIMEOUT, C.PASSED, body("import time\n    time.sleep(0.05)\n    return sum(x)"), slow=True),
    *near(C.EXECUTION_TIMEOUT, "TimeoutError", body("raise TimeoutError")),
    *near(C.EXECUTION_TIMEOUT, C.INFINITE_RECURSION, body("while True:\n        f(x)"), slow=True),
    *near(C.EXECUTION_TIMEOUT, "MemoryError", body("y = []\n    while True:\n        y.append(' ' * 2 ** 26)")),
]

OTHER_ENDS = [
    *alike(
        "early exit", body("raise SystemExit"), "import sys\n\nsys.exit(1)\n", "import os\n\n" + body("os._exit(0)")
    ),
    *alike("ZeroDivisionError", body("return 1 // 0")),
    *alike("KeyboardInterrupt", body("raise KeyboardInterrupt")),
    *alike("StopIteration", body("return next(iter([]))")),
    *alike("OverflowError", "import math\n\n" + body("return math.exp(10_000)")),
    # an exception that is called like a category, or by no name
    *alike(
        "other exception", body("raise type('passed', (Exception,), {})"), body("raise type('crash', (Exception,), {})")
    ),
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
    *TIMEOUT,
    *OTHER_ENDS,
]
