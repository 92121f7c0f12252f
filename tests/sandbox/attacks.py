"""Hostile and broken programs, each with the verdict that it gets. `f(20)` is to be 40 and `f([1])` to be [1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

from codedistill.sandbox import Isolation, Program, Status

CHECKS = """
def check(candidate):
    assert candidate(20) == 40
    assert candidate([1]) == [1, 1]
"""
GOOD = "def f(x):\n    return x * 2\n"
WRONG = "def f(x):\n    return x * 3\n"

PASSED, FAILED, TIMEOUT, MEMORY = Status.PASSED, Status.FAILED, Status.TIMEOUT, Status.MEMORY
CRASHED, EXITED = Status.CRASHED, Status.EXITED
ERRORS = {PASSED: None, TIMEOUT: "TimeoutError", MEMORY: "MemoryError", EXITED: "SystemExit"}

DAEMON_SECONDS = "986543"
"""Argument of the `sleep` that daemons turn into: nothing else on the machine has it."""

Verdict = tuple[Status, str | None]


@dataclass(frozen=True)
class Attack:
    source: str
    status: Status
    error: str | None = None
    """The error type, where the status does not tell it."""
    in_the_open: Verdict | None = None
    """The verdict on layers on which programs start no processes, where it is another one."""
    shared: Verdict | None = None
    """The verdict in `shared` isolation, where it is another one."""
    everywhere: bool = True
    """Tried on every layer, not on the strongest one alone: left out where it costs time and the layer is no matter."""
    checks: str = CHECKS

    def program(self, isolation: Isolation) -> Program:
        return Program(self.source, self.checks, "f", isolation)

    def verdict(self, layer: str, isolation: Isolation) -> Verdict:
        if layer != "namespaces" and self.in_the_open is not None:
            return self.in_the_open
        if isolation is Isolation.SHARED and self.shared is not None:
            return self.shared
        return self.status, self.error or ERRORS.get(self.status)


TIME = {
    "endless loop": Attack("def f(x):\n    while True: pass\n", TIMEOUT),
    "sleep": Attack("import time\ndef f(x):\n    time.sleep(1000)\n", TIMEOUT, everywhere=False),
    "stopped": Attack("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n" + GOOD, TIMEOUT, everywhere=False),
    "busy threads": Attack(
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
    "exceptions swallowed": Attack(
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n",
        TIMEOUT,
        everywhere=False,
    ),
    "signals ignored": Attack(
        """
import signal
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""",
        TIMEOUT,
    ),
    "endless output": Attack("while True: print('x' * 1000)\n", TIMEOUT, everywhere=False),
    "endless iterator": Attack(
        "import itertools\ndef f(x):\n    return itertools.count()\n",
        MEMORY,
        checks="def check(candidate):\n    assert list(candidate(20)) == [40]\n",
        everywhere=False,
    ),
}

RESOURCES = {
    "child of the supervisor": Attack(
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
    "deep locked folders": Attack(
        """
import os
for _ in range(300):
    os.mkdir('d')
    open('file', 'w').close()
    os.chdir('d')
    try: os.chmod('..', 0o100)
    except PermissionError: pass
"""
        + GOOD,
        PASSED,
    ),
    "forks that flee": Attack(
        "import os\nif os.fork() == 0:\n    os.setsid()\n    while True:\n        if os.fork(): os._exit(0)\n" + GOOD,
        PASSED,
        in_the_open=(FAILED, "BlockingIOError"),
    ),
    "thread bomb": Attack(
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()\n",
        FAILED,
        "RuntimeError",
    ),
    "memory bomb": Attack("x = []\nwhile True: x.append(bytearray(10**7))\n", MEMORY),
    "too much to hand over": Attack(
        "def f(x):\n    return 'x' * (150 * 2**20)\n", MEMORY, shared=(FAILED, "AssertionError")
    ),
    "output flood": Attack("print('x' * (5 * 2**20))\n" + GOOD, PASSED),
    "deep recursion": Attack("def f(x):\n    return f(x)\n", FAILED, "RecursionError"),
    "bottomless recursion": Attack(
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(x):\n    return sorted([x], key=f)\n", CRASHED, "SIGSEGV"
    ),
    "big file": Attack("open('big', 'wb').write(bytes(40 * 2**20))\n" + GOOD, FAILED, "OSError"),
    "open files": Attack("files = [open('a', 'w') for _ in range(10_000)]\n" + GOOD, FAILED, "OSError"),
    "limits lifted": Attack(
        "import resource\nfree = resource.RLIM_INFINITY\nresource.setrlimit(resource.RLIMIT_AS, (free, free))\n" + GOOD,
        FAILED,
        "ValueError",
    ),
}

ENDS = {
    "sys.exit in f": Attack("import sys\ndef f(x):\n    sys.exit(0)\n", EXITED),
    "exit caught": Attack("try:\n    quit(3)\nexcept SystemExit as end:\n    assert end.code == 3\n" + GOOD, PASSED),
    "os._exit in f": Attack("import os\ndef f(x):\n    os._exit(0)\n", EXITED),
    "another program": Attack("import os\nos.execv('/bin/true', ['true'])\n", EXITED),
    "KeyboardInterrupt": Attack("def f(x):\n    raise KeyboardInterrupt\n", FAILED, "KeyboardInterrupt"),
    "atexit": Attack("import atexit, os\natexit.register(os._exit, 0)\n" + WRONG, FAILED, "AssertionError"),
    "atexit that stays": Attack("import atexit, sys, time\natexit.register(time.sleep, 1000)\nsys.exit(0)\n", EXITED),
    "segmentation fault": Attack("import ctypes\nctypes.string_at(0)\n", CRASHED, "SIGSEGV"),
    "abort": Attack("import os\ndef f(x):\n    os.abort()\n", CRASHED, "SIGABRT"),
    "killed by itself": Attack("import os\ndef f(x):\n    os.kill(os.getpid(), 9)\n", CRASHED, "SIGKILL"),
    "everything closed": Attack("import os\nos.closerange(0, 256)\n" + GOOD, EXITED),
    "daemon": Attack(
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
        in_the_open=(FAILED, "BlockingIOError"),
    ),
    "child keeps the channel": Attack(
        "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nos._exit(0)\n",
        EXITED,
        in_the_open=(FAILED, "BlockingIOError"),
    ),
    "home folder gone": Attack("import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\n" + GOOD, PASSED),
    "home folder locked": Attack("import os\ntry: os.chmod('.', 0)\nexcept PermissionError: pass\n" + GOOD, PASSED),
}

TEXT = {
    "syntax error": Attack("x = 1\ndef f(x:\n", FAILED, "SyntaxError"),
    "lone surrogate": Attack("x = '\ud800'\n" + GOOD, FAILED, "UnicodeEncodeError"),
    "nested minus": Attack("x = " + "-" * 200_000 + "1\n" + GOOD, MEMORY),
    "50 MB of code": Attack(GOOD + "x = 1\n" * 8_000_000, MEMORY, everywhere=False),
    "printed surrogate": Attack("print('\\ud800')\n" + GOOD, PASSED),
    "stdin": Attack("import sys\nassert sys.stdin.read() == ''\n" + GOOD, PASSED),
    "input": Attack("def f(x):\n    return input()\n", FAILED, "EOFError"),
}

LIES = {
    "builtins patched": Attack(
        "import builtins\nbuiltins.AssertionError = builtins.Exception = ValueError\n"
        "builtins.abs = builtins.sum = builtins.eval = lambda *x: 0\nbuiltins.__import__ = None\n" + WRONG,
        FAILED,
        "AssertionError",
    ),
    "builtins gone": Attack("import builtins\nvars(builtins).clear()\n" + WRONG, FAILED, "AssertionError"),
    "modules replaced": Attack(
        "import sys, types\nfor name in list(sys.modules): sys.modules[name] = types.ModuleType(name)\n" + WRONG,
        FAILED,
        "AssertionError",
    ),
    "equal to everything": Attack(
        "class Liar:\n    def __eq__(self, other): return True\n    __hash__ = None\n\ndef f(x):\n    return Liar()\n",
        FAILED,
        "AssertionError",
        shared=(PASSED, None),
    ),
    "int equal to everything": Attack(
        "class Liar(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n\n"
        "def f(x):\n    return Liar(7)\n",
        FAILED,
        "AssertionError",
        shared=(PASSED, None),
    ),
    "false class": Attack(
        "class Liar:\n    __class__ = int\n    def __eq__(self, other): return True\n\ndef f(x):\n    return Liar()\n",
        FAILED,
        "AssertionError",
        shared=(PASSED, None),
    ),
    "printed verdict": Attack("print('passed'); print('{\"status\": \"passed\"}')\n" + WRONG, FAILED, "AssertionError"),
    "verdict on every descriptor": Attack(
        """
import os, struct
verdict = b'{"d":[["status","passed"],["error_type",null],["message",""],["line",null],["raised_in",null]]}'
for descriptor in range(1, 300):
    for data in (struct.pack(">Q", len(verdict)) + verdict, b"d", verdict):
        try: os.write(descriptor, data)
        except OSError: pass
"""
        + WRONG,
        EXITED,
    ),
    "garbage on the channel": Attack("import os\nos.write(3, bytes(100))\n" + GOOD, EXITED),
    "giant frame": Attack("import os\nos.write(3, b'\\xff' * 8)\n" + GOOD, EXITED),
    "hangs up": Attack("import socket\nsocket.socket(fileno=3).shutdown(2)\n" + GOOD, EXITED),
    "exception with bad manners": Attack(
        "class Bad(Exception):\n    def __str__(self): raise self\n\ndef f(x):\n    raise Bad('x' * 10**6)\n",
        FAILED,
        "Bad",
    ),
    "exception with a long name": Attack(
        "def f(x):\n    raise type('passed' * 100, (Exception,), {})('x')\n", FAILED, "Exception"
    ),
    "exception without a name": Attack(
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
        "Bad",
    ),
    "not to be called": Attack("class F: pass\nf = F()\n", FAILED, "TypeError"),
    "child answers": Attack(
        "import os\ndef f(x):\n    if os.fork() == 0: return x * 2\n    os.wait()\n    return x * 3\n",
        FAILED,
        "AssertionError",
        in_the_open=(FAILED, "BlockingIOError"),
    ),
    "says that it cannot be confined": Attack(
        """
import os, struct
message = b'["unfit","no"]'
os.write(3, struct.pack(">Q", len(message)) + message)
"""
        + GOOD,
        EXITED,
        everywhere=False,
    ),
}

ATTACKS = TIME | RESOURCES | ENDS | TEXT | LIES
