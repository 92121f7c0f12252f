"""Hostile and broken programs, each with the verdicts it may get. `f(20)` is to be 40 and `f([1])` to be [1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

from codedistill.sandbox import Program, Status

CHECKS = """
def check(candidate):
    assert candidate(20) == 40
    assert candidate([1]) == [1, 1]
"""
GOOD = "def f(x):\n    return x * 2\n"
WRONG = "def f(x):\n    return x * 3\n"

PASSED, FAILED, TIMEOUT, MEMORY = Status.PASSED, Status.FAILED, Status.TIMEOUT, Status.MEMORY
CRASHED, EXITED = Status.CRASHED, Status.EXITED

DAEMON_SECONDS = "986543"
"""Argument of the `sleep` that daemons turn into: nothing else on the machine has it."""


@dataclass(frozen=True)
class Attack:
    source: str
    verdicts: tuple[Status, ...]
    error: str | None = None
    """The error type, where there is just one."""
    everywhere: bool = True
    """Tried on every layer, not on the strongest one alone: left out where it only costs time, or would do harm."""
    checks: str = CHECKS
    entry_point: str | None = "f"

    def program(self) -> Program:
        return Program(self.source, self.checks, self.entry_point)


def _attack(source: str, *verdicts: Status, error: str | None = None, everywhere: bool = True) -> Attack:
    return Attack(source.lstrip("\n"), verdicts, error, everywhere)


TIME = {
    "endless loop": _attack("def f(x):\n    while True: pass\n", TIMEOUT, error="TimeoutError"),
    "endless loop on import": _attack("while True: pass\n", TIMEOUT, everywhere=False),
    "sleep": _attack("import time\ndef f(x):\n    time.sleep(1000)\n", TIMEOUT, everywhere=False),
    "stopped": _attack("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n" + GOOD, TIMEOUT, everywhere=False),
    "busy threads": _attack(
        """
import threading
def spin():
    while True: pass
threads = [threading.Thread(target=spin) for _ in range(4)]
for thread in threads: thread.start()
def f(x):
    for thread in threads: thread.join()
""",
        TIMEOUT,
        everywhere=False,
    ),
    "giant power": _attack("def f(x):\n    return 9 ** 9 ** 9\n", TIMEOUT, MEMORY, everywhere=False),
    "exceptions swallowed": _attack(
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n",
        TIMEOUT,
        everywhere=False,
    ),
    "signals ignored": _attack(
        """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
        TIMEOUT,
    ),
    "endless output": _attack("while True: print('x' * 1000)\n", TIMEOUT, everywhere=False),
    "endless iterator": Attack(
        "import itertools\ndef f(x):\n    return itertools.count()\n",
        (TIMEOUT, MEMORY),
        everywhere=False,
        checks="def check(candidate):\n    assert list(candidate(20)) == [40]\n",
    ),
}

RESOURCES = {
    "fork bomb": _attack("import os\nwhile True: os.fork()\n", FAILED, error="BlockingIOError"),
    "stubborn fork bomb": _attack(
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n", TIMEOUT, everywhere=False
    ),
    "child of the supervisor": _attack(
        """
import ctypes, os, signal, time
CLONE_PARENT, number = 0x8000, 56 if os.uname().machine == "x86_64" else 220
libc = ctypes.CDLL(None, use_errno=True)
if libc.syscall(number, CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0) == 0:
    time.sleep(1000)
"""
        + GOOD,
        PASSED,
    ),
    "deep folders": _attack(
        "import os\nfor _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\n" + GOOD, PASSED, TIMEOUT
    ),
    "deep locked folders": _attack(
        """
import os
for _ in range(1500):
    os.mkdir('d')
    open('file', 'w').close()
    os.chdir('d')
    try: os.chmod('..', 0o100)
    except PermissionError: pass
"""
        + GOOD,
        PASSED,
        TIMEOUT,
    ),
    "forks that flee": _attack(
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True:\n        if os.fork(): os._exit(0)\n" + GOOD,
        PASSED,
        FAILED,  # a layer without forks
    ),
    "thread bomb": _attack(
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()\n",
        FAILED,
        MEMORY,
    ),
    "memory bomb": _attack("x = []\nwhile True: x.append(bytearray(10**7))\n", MEMORY, error="MemoryError"),
    "memory at once": _attack("def f(x):\n    return bytearray(10**12)\n", MEMORY, error="MemoryError"),
    "too much to hand over": _attack("def f(x):\n    return 'x' * (150 * 2**20)\n", FAILED, MEMORY, TIMEOUT),
    "output flood": _attack("print('x' * (5 * 2**20))\n" + GOOD, PASSED),
    "error flood": _attack("import sys\nsys.stderr.write('x' * (5 * 2**20))\n" + GOOD, PASSED),
    "deep recursion": _attack("def f(x):\n    return f(x)\n", FAILED, error="RecursionError"),
    "bottomless recursion": _attack(
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return sorted([x], key=f)\n", CRASHED, MEMORY, FAILED
    ),
    "big file": _attack("open('big', 'wb').write(bytes(40 * 2**20))\n" + GOOD, FAILED, error="OSError"),
    "open files": _attack("files = [open('a', 'w') for _ in range(10_000)]\n" + GOOD, FAILED, error="OSError"),
    "limits lifted": _attack(
        "import resource\nfree = resource.RLIM_INFINITY\nresource.setrlimit(resource.RLIMIT_AS, (free, free))\n" + GOOD,
        FAILED,
        error="ValueError",
    ),
}

ENDS = {
    "sys.exit": _attack("import sys\nsys.exit(0)\n", EXITED, error="SystemExit"),
    "sys.exit in f": _attack("import sys\ndef f(x):\n    sys.exit(0)\n", EXITED, error="SystemExit"),
    "exit": _attack("exit()\n", EXITED, error="SystemExit"),
    "exit in f": _attack("def f(x):\n    exit(0)\n", EXITED, error="SystemExit"),
    "quit in f": _attack("def f(x):\n    quit('done')\n", EXITED, error="SystemExit"),
    "exit caught": _attack("try:\n    quit(3)\nexcept SystemExit as end:\n    assert end.code == 3\n" + GOOD, PASSED),
    "os._exit": _attack("import os\nos._exit(0)\n", EXITED, error="SystemExit"),
    "os._exit in f": _attack("import os\ndef f(x):\n    os._exit(0)\n", EXITED, error="SystemExit"),
    "SystemExit": _attack("def f(x):\n    raise SystemExit\n", EXITED, error="SystemExit"),
    "another program": _attack("import os\nos.execv('/bin/true', ['true'])\n", EXITED),
    "KeyboardInterrupt": _attack("def f(x):\n    raise KeyboardInterrupt\n", FAILED, error="KeyboardInterrupt"),
    "atexit": _attack("import atexit, os\natexit.register(os._exit, 0)\n" + WRONG, FAILED, error="AssertionError"),
    "atexit that stays": _attack(
        "import atexit, sys, time\natexit.register(time.sleep, 1000)\nsys.exit(0)\n", EXITED, error="SystemExit"
    ),
    "segmentation fault": _attack("import ctypes\nctypes.string_at(0)\n", CRASHED, error="SIGSEGV"),
    "abort": _attack("import os\ndef f(x):\n    os.abort()\n", CRASHED, error="SIGABRT"),
    "killed by itself": _attack("import os\ndef f(x):\n    os.kill(os.getpid(), 9)\n", CRASHED, error="SIGKILL"),
    "group killed": _attack("import os\nos.killpg(0, 9)\n", CRASHED, FAILED),
    "everything closed": _attack("import os\nos.closerange(0, 256)\n" + GOOD, EXITED),
    "daemon": _attack(
        f"""
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv('/bin/sleep', ['sleep', '{DAEMON_SECONDS}'])
    os._exit(0)
os.wait()
"""
        + GOOD,
        PASSED,
        FAILED,  # a layer without forks
    ),
    "child keeps the channel": _attack(
        "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nos._exit(0)\n", EXITED, FAILED
    ),
    "home folder gone": _attack("import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\n" + GOOD, PASSED),
    "home folder locked": _attack("import os\ntry: os.chmod('.', 0)\nexcept PermissionError: pass\n" + GOOD, PASSED),
}

TEXT = {
    "syntax error": _attack("x = 1\ndef f(x:\n", FAILED, error="SyntaxError"),
    "null bytes": _attack("x = '\0'\n" + GOOD, FAILED),
    "lone surrogate": _attack("x = '\ud800'\n" + GOOD, FAILED, error="UnicodeEncodeError"),
    "empty": _attack("", FAILED, error="NameError"),
    "nested brackets": _attack("x = " + "(" * 10_000 + ")" * 10_000 + "\n" + GOOD, FAILED, MEMORY),
    "nested minus": _attack("x = " + "-" * 200_000 + "1\n" + GOOD, FAILED, MEMORY, CRASHED),
    "50 MB of comment": _attack(GOOD + "#" * 50_000_000 + "\n", PASSED, MEMORY, TIMEOUT, everywhere=False),
    "50 MB of code": _attack(GOOD + "x = 1\n" * 8_000_000, MEMORY, TIMEOUT, everywhere=False),
    "printed surrogate": _attack("print('\\ud800')\n" + GOOD, PASSED),
    "stdin": _attack("import sys\nassert sys.stdin.read() == ''\n" + GOOD, PASSED),
    "input": _attack("def f(x):\n    return input()\n", FAILED, error="EOFError"),
}

LIES = {
    "builtins patched": _attack(
        "import builtins\nbuiltins.AssertionError = builtins.Exception = ValueError\n"
        "builtins.abs = builtins.sum = builtins.eval = lambda *x: 0\nbuiltins.__import__ = None\n" + WRONG,
        FAILED,
        EXITED,
    ),
    "builtins gone": _attack("import builtins\nvars(builtins).clear()\n" + WRONG, FAILED, EXITED),
    "modules replaced": _attack(
        "import sys, types\nfor name in list(sys.modules): sys.modules[name] = types.ModuleType(name)\n" + WRONG,
        FAILED,
        EXITED,
    ),
    "equal to everything": _attack(
        "class Liar:\n    def __eq__(self, other): return True\n    __hash__ = None\n\ndef f(x):\n    return Liar()\n",
        FAILED,
        error="AssertionError",
    ),
    "int equal to everything": _attack(
        "class Liar(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n\n"
        "def f(x):\n    return Liar(7)\n",
        FAILED,
        error="AssertionError",
    ),
    "list equal to everything": _attack(
        "class Liar(list):\n    def __eq__(self, other): return True\n\ndef f(x):\n    return Liar([x])\n",
        FAILED,
        error="AssertionError",
    ),
    "false class": _attack(
        "class Liar:\n    __class__ = int\n    def __eq__(self, other): return True\n\ndef f(x):\n    return Liar()\n",
        FAILED,
        error="AssertionError",
    ),
    "printed verdict": _attack(
        "print('passed'); print('{\"status\": \"passed\"}')\n" + WRONG, FAILED, error="AssertionError"
    ),
    "verdict on every descriptor": _attack(
        """
import os, struct
verdict = b'{"d":[["status","passed"],["error_type",null],["message",""],["line",null],["raised_in",null]]}'
for descriptor in range(1, 300):
    for data in (struct.pack(">Q", len(verdict)) + verdict, b"d", verdict):
        try: os.write(descriptor, data)
        except OSError: pass
"""
        + WRONG,
        FAILED,
        EXITED,
    ),
    "answer in every frame": _attack(
        """
import os, struct
for message in (b'["ready",[["f",{"x":[0,"function","f"]}]]]', b'["value",true,[]]', b'["value",true,[]]'):
    os.write(3, struct.pack(">Q", len(message)) + message)
"""
        + WRONG,
        FAILED,
        error="AssertionError",
    ),
    "garbage on the channel": _attack("import os\nos.write(3, bytes(100))\n" + GOOD, FAILED, EXITED),
    "giant frame": _attack("import os\nos.write(3, b'\\xff' * 8)\n" + GOOD, EXITED),
    "hangs up": _attack("import socket\nsocket.socket(fileno=3).shutdown(2)\n" + GOOD, EXITED),
    "exception with bad manners": _attack(
        "class Bad(Exception):\n    def __str__(self): raise self\n\ndef f(x):\n    raise Bad('x' * 10**6)\n",
        FAILED,
        error="Bad",
    ),
    "exception with a false name": _attack(
        "def f(x):\n    raise type('<script>', (Exception,), {})('x')\n", FAILED, error="Exception"
    ),
    "exception with a long name": _attack(
        "def f(x):\n    raise type('passed' * 100, (Exception,), {})('x')\n", FAILED, error="Exception"
    ),
    "exception without a name": _attack(
        """
class Meta(type):
    @property
    def __name__(cls): raise SystemExit
    @property
    def __bases__(cls): raise SystemExit
class Bad(Exception, metaclass=Meta):
    @property
    def args(self): raise SystemExit
    @property
    def __traceback__(self): raise SystemExit
def f(x):
    raise Bad(x)
""",
        FAILED,
        error="Bad",
    ),
    "not to be called": _attack("class F: pass\nf = F()\n", FAILED, error="TypeError"),
    "child answers": _attack(
        "import os\ndef f(x):\n    if os.fork() == 0: return x * 2\n    os.wait()\n    return x * 3\n", FAILED
    ),
    "says that it cannot be confined": _attack(
        """
import os, struct
message = b'["unfit","no"]'
os.write(3, struct.pack(">Q", len(message)) + message)
"""
        + GOOD,
        CRASHED,
        everywhere=False,
    ),
    "exception with a long tale": _attack("def f(x):\n    raise ValueError('x' * 10**6)\n", FAILED, error="ValueError"),
}

ATTACKS = TIME | RESOURCES | ENDS | TEXT | LIES
