"""What a program can reach: not the machine's files, secrets, network and processes, and never the checks' answers.

Each program tells on its standard output what it could do, and returns 1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codedistill.sandbox import Isolation, Limits, Program, Result, Status
from codedistill.sandbox.pool import run_on
from codedistill.sandbox.worker import Worker, WorkerError
from tests.sandbox.processes import descendants, processes_with

pytestmark = pytest.mark.slow

Run = Callable[..., Result]

SECRET = "secret-4c1d9e"

HEADER = """
import os
def attempt(name, action):
    try:
        action()
    except Exception as error:
        return
    print("could", name)

def f():
    return 1

"""


@pytest.fixture
def guarded(layer: str) -> str:
    """Layers that keep a program from the machine's files."""
    if layer == "rlimits":
        pytest.skip("this layer does not guard files")
    return layer


@pytest.fixture
def victim() -> Iterator[Path]:
    """A folder in which every user of the machine may do anything, with one file and one folder in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "file").write_text(SECRET)
        (folder / "below").mkdir()
        for path in (folder, folder / "file", folder / "below"):
            path.chmod(0o777)
        yield folder


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user."""
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def test_files_outside_cannot_be_changed(guarded: str, run: Run, victim: Path) -> None:
    source = f"""{HEADER}
import shutil
victim, file = {str(victim)!r}, {str(victim / "file")!r}
attempt("write", lambda: open(file, "w").write("x"))
attempt("append", lambda: open(file, "a").write("x"))
attempt("truncate", lambda: os.truncate(file, 0))
attempt("create", lambda: open(victim + "/new", "w"))
attempt("make a folder", lambda: os.mkdir(victim + "/new"))
attempt("make a link", lambda: os.symlink("/", victim + "/new"))
attempt("make a hard link", lambda: os.link(file, "mine"))
attempt("rename", lambda: os.rename(file, victim + "/new"))
attempt("move here", lambda: os.rename(file, "mine"))
attempt("change the mode", lambda: os.chmod(file, 0))
attempt("change the time", lambda: os.utime(file, (0, 0)))
attempt("delete", lambda: os.unlink(file))
attempt("delete a folder", lambda: os.rmdir(victim + "/below"))
attempt("delete the tree", lambda: shutil.rmtree(victim))
attempt("write to the library", lambda: open(os.__file__, "a"))
os.symlink(file, "link")
attempt("write through a link", lambda: open("link", "w").write("x"))
"""
    before = (victim / "file").stat()
    result = run(source)
    assert (result.status, result.stdout) == (Status.PASSED, "")
    assert sorted(path.name for path in victim.iterdir()) == ["below", "file"]
    assert (victim / "file").read_text() == SECRET
    after = (victim / "file").stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_files_outside_cannot_be_read(guarded: str, run: Run, victim: Path) -> None:
    interpreter = Path(sys.base_prefix).resolve()
    at_home = [str(path) for path in Path.home().glob("*") if path not in (interpreter, *interpreter.parents)][:50]
    source = f"""{HEADER}
attempt("read", lambda: open({str(victim / "file")!r}).read())
attempt("list", lambda: os.listdir({str(victim)!r}))
for path in {at_home!r}:
    attempt(path, lambda: open(path).read(1))
    attempt(path, lambda: os.listdir(path))
attempt("read accounts", lambda: open("/etc/passwd").read())
attempt("read the checks' package", lambda: open({str(Path(__file__).resolve())!r}).read())
"""
    result = run(source)
    assert (result.status, result.stdout) == (Status.PASSED, "")


def test_its_own_folder_is_writable_and_empty_each_time(layer: str, run: Run) -> None:
    source = """
import os, tempfile
found = os.listdir(".")
for i in range(3):
    os.makedirs(f"folder{i}/below")
    open(f"folder{i}/below/file", "w").write("x" * 100)
with tempfile.NamedTemporaryFile() as file:
    inside = os.path.dirname(os.path.realpath(file.name)) == os.path.realpath(os.getcwd())

def f():
    return 1 if inside and not found and os.environ["HOME"] == os.getcwd() else (inside, found)
"""
    for _ in range(2):
        assert run(source).status is Status.PASSED


def test_disk_cannot_be_filled(layer: str) -> None:
    """All files together are limited where the file system is the program's own; elsewhere, each of them is."""
    many = "for i in range(40):\n    open(f'{i}', 'wb').write(bytes(2**20))\ndef f():\n    return 1\n"
    one = "with open('0', 'wb') as file:\n    for i in range(40): file.write(bytes(2**20))\ndef f():\n    return 1\n"
    programs = [Program(source, "def check(f):\n    assert f() == 1\n", "f") for source in (many, one)]
    results = run_on(layer, programs, Limits(cpu_seconds=10, file_mb=16))
    assert results[0].error_type == ("OSError" if layer == "namespaces" else None)
    assert results[1].error_type == "OSError"


def test_folder_is_emptied_between_programs_of_one_worker(layer: str) -> None:
    source = """
import os
found = os.listdir(".")
os.makedirs("a/b/c")
open("a/b/c/file", "w").write("x")
try:
    os.chmod("a/b", 0)
    os.mkfifo("pipe")
except OSError:
    pass
def f():
    return found
"""
    program = Program(source, "def check(candidate):\n    assert candidate() == []\n", "f")
    results = run_on(layer, [program] * 4, Limits(cpu_seconds=10, workers=1))
    assert [result.status for result in results] == [Status.PASSED] * 4


def test_environment_is_empty(layer: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    result = run(HEADER + "print(dict(os.environ))\n")
    assert result.status is Status.PASSED
    assert SECRET not in result.stdout
    assert set(eval(result.stdout)) == {"HOME", "TMPDIR", "LANG", "PATH"}


def test_other_processes_tell_nothing(guarded: str, run: Run) -> None:
    with subprocess.Popen(["sleep", "1000"], env={"HF_TOKEN": SECRET}) as process:
        source = f"""{HEADER}
for pid in {{1, {process.pid}, {os.getpid()}, os.getppid()}}:
    for name in ("environ", "cmdline", "mem", "maps", "fd"):
        attempt(name, lambda: open(f"/proc/{{pid}}/{{name}}").read(1))
        attempt(name, lambda: os.listdir(f"/proc/{{pid}}/{{name}}"))
"""
        result = run(source)
        process.kill()
    assert (result.status, result.stdout) == (Status.PASSED, "")


def test_no_network(layer: str, run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        server.settimeout(0.2)
        source = f"""{HEADER}
import socket
attempt("connect", lambda: socket.create_connection({address!r}, 1))
attempt("send", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", {address!r}))
attempt("reach the name service", lambda: socket.getaddrinfo("example.org", 80))
attempt("reach a service", lambda: socket.socket(socket.AF_UNIX).connect("/run/dbus/system_bus_socket"))
for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_NETLINK, socket.AF_PACKET):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC):
        attempt(f"have a pair of {{family}}, {{kind}}", lambda: socket.socketpair(family, kind))
one, other = socket.socketpair()
one.send(b"x")
assert other.recv(1) == b"x"
"""
        result = run(source)
        assert (result.status, result.stdout) == (Status.PASSED, "")
        with pytest.raises(TimeoutError):
            server.accept()


def test_socket_is_an_error_of_the_program(layer: str, run: Run) -> None:
    result = run("import socket\nsocket.socket()\n")
    assert (result.status, result.error_type) == (Status.FAILED, "PermissionError")


def test_other_processes_cannot_be_killed(layer: str, run: Run, sleeper: subprocess.Popen[bytes]) -> None:
    # A harmless signal where the target is everything: the test must not end the machine when the sandbox is broken.
    source = f"""{HEADER}
import fcntl, signal
sibling, caller, parent = {sleeper.pid}, {os.getpid()}, os.getppid()
attempt("signal everything", lambda: os.kill(-1, signal.SIGCONT))
attempt("kill a sibling", lambda: os.kill(sibling, signal.SIGKILL))
attempt("kill a group", lambda: os.killpg(sibling, signal.SIGKILL))
attempt("signal the caller", lambda: os.kill(caller, 0))
attempt("kill the parent", lambda: os.kill(parent, signal.SIGKILL) if parent else 1 / 0)
attempt("kill by handle", lambda: signal.pidfd_send_signal(os.pidfd_open(sibling), signal.SIGKILL))
attempt("slow a sibling down", lambda: os.setpriority(os.PRIO_PROCESS, sibling, 19))
def by_descriptor():
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(reader, fcntl.F_SETOWN, sibling)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC)
    os.write(writer, b"x")
attempt("kill through a descriptor", by_descriptor)
"""
    result = run(source)
    assert (result.status, result.stdout) == (Status.PASSED, "")
    assert sleeper.poll() is None
    assert os.getpriority(os.PRIO_PROCESS, sleeper.pid) == os.getpriority(os.PRIO_PROCESS, 0)


def test_there_is_no_memory_beside_the_limit_and_nothing_that_outlives_the_program(layer: str, run: Run) -> None:
    """Each of these calls succeeds outside the sandbox, or fails for another reason than that it is forbidden."""
    result = run(f"""{HEADER}
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def permitted(*call):
    if libc.syscall(*call) >= 0 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print("could", call)
x86 = os.uname().machine == "x86_64"
new = 0o1600
permitted(29 if x86 else 194, 0, 2**20, new)  # shmget
permitted(64 if x86 else 190, 0, 1, new)  # semget
permitted(68 if x86 else 186, 0, new)  # msgget
permitted(240 if x86 else 180, b"queue", os.O_CREAT | os.O_RDWR, 0o600, 0)  # mq_open
permitted(319 if x86 else 279, b"memory", 0)  # memfd_create
permitted(447, 0)  # memfd_secret
permitted(188 if x86 else 5, b".", b"user.mark", b"1", 1, 0)  # setxattr
permitted(302 if x86 else 261, 1, 9, 0, 0)  # prlimit64 of process 1
""")
    assert (result.status, result.stdout) == (Status.PASSED, "")


def test_the_home_folder_tells_nothing_of_the_program_before(layer: str) -> None:
    look = "import os\nfound = os.stat('.')\nprint(found.st_mtime, found.st_atime, found.st_mode, os.listdir('.'))\n"
    mark = """
import os
open("file", "w").close()
for mark in (lambda: os.utime(".", (5, 5)), lambda: os.chmod(".", 0o711)):
    try: mark()
    except PermissionError: pass
"""
    sources = [f"{source}def f():\n    return 1\n" for source in (look, mark, look)]
    programs = [Program(source, "def check(f):\n    assert f() == 1\n", "f") for source in sources]
    before, marked, after = run_on(layer, programs, Limits(cpu_seconds=10, workers=1))
    assert [result.status for result in (before, marked, after)] == [Status.PASSED] * 3
    assert before.stdout == after.stdout


def _run_until_it_fails(worker: Worker, program: Program) -> None:
    with contextlib.suppress(WorkerError):
        worker.run(program)


def test_a_program_dies_with_its_supervisor(layer: str) -> None:
    """Its children too: it has had the time to make one that nobody waits for, where the layer lets it."""
    source = """
import os, time
try:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
except BlockingIOError:
    pass
time.sleep(1000)
"""
    worker = Worker(layer, Limits(cpu_seconds=100))
    program = Program(source, "def check(f):\n    assert f() == 1\n", "f")
    thread = threading.Thread(target=_run_until_it_fails, args=(worker, program))
    thread.start()
    time.sleep(1)
    assert processes_with(worker.folder) != []
    os.kill(worker._process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while processes_with(worker.folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    thread.join()
    worker.close()
    assert processes_with(worker.folder) == []


ANSWER = "answer-71b0"
CHECKS = f"""
def check(candidate):
    answer = {ANSWER!r}
    candidate(1)
    assert candidate(2) == answer
"""
# Split, so that the program does not find itself.
SPY = """
import gc, os, sys
def hidden(text):
    return isinstance(text, str) and text.startswith("answer" + "-")

def search(thing, depth=0):
    if hidden(thing):
        return thing
    if depth > 4 or isinstance(thing, (str, bytes, int)):
        return None
    if isinstance(thing, dict):
        thing = list(thing.values())
    if isinstance(thing, (list, tuple, set)):
        for item in thing:
            found = search(item, depth + 1)
            if found: return found
    if hasattr(thing, "co_consts"):
        return search(thing.co_consts, depth + 1)
    return None

"""
WAYS = {
    "frames": "    frame = sys._getframe()\n    while frame:\n        found = search([frame.f_locals, frame.f_globals,"
    " frame.f_code])\n        if found: return found\n        frame = frame.f_back\n",
    "objects": "    for thing in gc.get_objects():\n        found = search(thing, 3)\n        if found: return found\n",
    "modules": "    import __main__\n    return search([vars(__main__), *map(vars, sys.modules.values())])\n",
    "files": "    for folder in ('.', '..', '/tmp', '/dev/shm', '/proc/self', '/proc/self/fd'):\n"
    "        try: names = os.listdir(folder)\n        except OSError: continue\n"
    "        for name in names:\n            try: text = open(f'{folder}/{name}', errors='replace').read(10**6)\n"
    "            except OSError: continue\n"
    "            at = text.find('answer' + '-')\n            if at >= 0: return text[at:at + 11]\n",
    "descriptors": "    for number in range(64):\n        try:\n            os.set_blocking(number, False)\n"
    "            text = os.read(number, 10**6)\n        except OSError: continue\n"
    "        at = text.find(b'answer' + b'-')\n        if at >= 0: return text[at:at + 11].decode()\n",
}


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_out_of_reach_in_data_isolation(layer: str, way: str) -> None:
    program = Program(f"{SPY}def f(x):\n{WAYS[way]}", CHECKS, "f", Isolation.DATA)
    limits = Limits(cpu_seconds=2, idle_seconds=2)
    assert run_on(layer, [program], limits)[0].status is not Status.PASSED


def test_a_program_has_no_descriptors_but_its_own(layer: str, run: Run) -> None:
    result = run(f"""{HEADER}
for number in range(4, 1024):
    attempt(f"use {{number}}", lambda: os.fstat(number))
""")
    assert (result.status, result.stdout) == (Status.PASSED, "")


def test_a_program_has_no_privileges_and_leaves_no_core(layer: str, run: Run) -> None:
    result = run(f"""{HEADER}
import ctypes, resource
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(header, sets) == 0
print(list(sets), resource.getrlimit(resource.RLIMIT_CORE))
""")
    assert (result.status, result.stdout) == (Status.PASSED, "[0, 0, 0, 0, 0, 0] (0, 0)\n")


def test_programs_go_first_where_memory_runs_out(layer: str) -> None:
    worker = Worker(layer, Limits())
    try:
        deadline = time.monotonic() + 10
        while len(processes := descendants(worker._process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)  # the checks' process forks its own when it gets to it
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in processes]
    finally:
        worker.close()
    assert len(scores) >= 2  # the checks' process, and the first program's
    assert set(scores) == {1000}


def test_every_process_of_a_program_has_its_cpu_time(layer: str) -> None:
    """The first one is watched; another one is ended by the kernel, after twice the time."""
    source = """
import os
def f():
    try:
        child = os.fork()
    except BlockingIOError:
        return None
    while child == 0: pass
    # Not reaped: the time of a child that has been waited for is its parent's too.
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT).si_status
"""
    checks = f"def check(f):\n    assert f() in (None, {int(signal.SIGXCPU)})\n"
    (result,) = run_on(layer, [Program(source, checks, "f")], Limits(cpu_seconds=1, idle_seconds=60))
    assert result.passed, result
