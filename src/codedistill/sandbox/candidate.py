"""The process of the untrusted program. By the time the source runs, it is confined for good.

`serve` runs the source and then answers calls from the process of the checks. `run_with_checks` runs source and checks
in one namespace; only a program that passed makes this process write the token that it was given before the source ran.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import json
import marshal
import os
import socket
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from . import wire
from .failures import SOURCE_NAME, describe

MODULE_NAME = "program"
REACHED = b"r"
"""What the caller is told when the source has run to its end and the checks begin, before the verdict."""


def serve(descriptor: int, surroundings: Surroundings) -> NoReturn:
    """Run the source that comes over the channel, then answer calls until this process is ended."""
    channel = socket.socket(fileno=descriptor)
    entry_point, source = map(wire.to_text, wire.split(wire.receive_frame(channel)))
    process, namespace = os.getpid(), surroundings.namespace

    def reply(action: Callable[[], Any], in_source: bool = False) -> None:
        try:
            message = wire.dumps(["value", action()])
        except SystemExit as error:
            leave(error)
        except BaseException as error:
            failure = describe(error, source)
            message = wire.dumps(["error", failure | ({"raised_in": "source"} if in_source else {}), _bases(error)])
        if os.getpid() != process:  # a child that the program forked must not speak for it
            os._exit(0)
        flush()
        wire.send_frame(channel, message)

    reply(lambda: exec(compile(source, SOURCE_NAME, "exec", dont_inherit=True), namespace), in_source=True)
    while True:
        request = wire.loads(wire.receive_frame(channel))
        reply(lambda request=request: _answer(eval(entry_point, namespace), *request))  # type: ignore[misc]


def _answer(function: Any, arguments: list[Any] | None, keywords: dict[str, Any] | None) -> Any:
    """Without arguments, the question is only whether there is a function."""
    return function(*arguments, **keywords) if arguments is not None and keywords is not None else None


def _bases(error: BaseException) -> list[str]:
    """Names of the built-in classes that an exception is of: what `except` clauses of the checks go by."""
    return [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]


def run_with_checks(descriptor: int, surroundings: Surroundings) -> NoReturn:
    """Run the source, then its checks, and write the verdict to the channel."""
    # The program can change whatever it can name. So all that leads to a pass is bound to local names before it runs.
    process, get_process, end, write, dumps = os.getpid(), os.getpid, os._exit, os.write, json.dumps
    channel = socket.socket(fileno=descriptor)
    parts = wire.split(wire.receive_frame(channel))
    channel.detach()
    token, about, source, code = bytes(parts[0]), bytes(parts[1]), wire.to_text(parts[2]), marshal.loads(parts[3])
    entry_point, modules, assigned, _ = json.loads(about)
    namespace, for_checks = surroundings.namespace, surroundings.for_checks
    changed = _Guard(modules, frozenset(assigned)).changed
    in_source, reached = True, False
    try:
        exec(compile(source, SOURCE_NAME, "exec", dont_inherit=True), namespace)
        if get_process() != process:
            end(0)
        in_source = False
        write(descriptor, REACHED)
        namespace["__builtins__"] = for_checks
        before = dict(namespace)
        exec(code, namespace)
        own = {name: value for name, value in namespace.items() if before.get(name) is not value}
        if entry_point is not None:
            check = own["check"]
            function = eval(entry_point, before if entry_point == "check" else namespace)
            reached = True
            check(function)
        what = changed(own, namespace)
        if what:
            raise RuntimeError(f"the program replaced {what}, which the checks rely on")
    except SystemExit as error:
        if get_process() == process:
            leave(error)
        end(0)
    except BaseException as error:
        failure = describe(error, source)
        if in_source:
            failure["raised_in"] = "source"
        reached = reached or failure["raised_in"] == "source" or isinstance(error, AssertionError)
        answer = dumps(failure | {"reached_checks": reached and not in_source}).encode()
    else:
        answer = token
    if get_process() != process:  # a child that the program forked must not speak for it
        end(0)
    flush()
    write(descriptor, answer)
    end(0)


class _Guard:
    """Notices a program that replaces what its checks rely on.

    That is: functions and classes of the modules that the checks import, methods of these classes, and functions that
    the checks define. What the checks may replace themselves is left alone.
    """

    def __init__(self, modules: list[str], assigned: frozenset[str]) -> None:
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        packages = tuple(f"{name}." for name in modules)
        found = [name for name in sys.modules if name in modules or name.startswith(packages)] if modules else []
        self.modules = {name: sys.modules[name] for name in found}
        self.assigned = assigned
        self.kept: list[tuple[Any, str, dict[str, Any]]] = []
        for name, module in self.modules.items():
            entries = dict(vars(module))
            self.kept.append((module, name, entries))
            classes = [v for v in entries.values() if isinstance(v, type) and v.__module__ == name]
            self.kept += [(kind, f"{name}.{kind.__name__}", dict(vars(kind))) for kind in classes]

    def changed(self, own: Mapping[str, Any], namespace: Mapping[str, Any]) -> str:
        """The first thing that is not what it was, '' if there is none."""
        check = own.get("check")
        if isinstance(check, types.FunctionType) and check.__code__.co_filename == SOURCE_NAME:
            return "check"
        for name, value in own.items():
            if isinstance(value, types.FunctionType | type) and namespace.get(name) is not value:
                return name
        for name, module in self.modules.items():
            if sys.modules.get(name) is not module:
                return name
        for owner, where, entries in self.kept:
            now = vars(owner)
            for name, value in entries.items():
                if now.get(name) is not value and callable(value) and name not in self.assigned:
                    return f"{where}.{name}"
        return ""


WARM_UP = 12
_USUAL = "from typing import List\n\ndef f(x: List[int]) -> int:\n    return sum(x)\n\nf([1])\n"
"""Run before the first fork: what the interpreter prepares on first use is then there for every child."""


class Surroundings:
    """What a program finds in its process: all that it can reach by name is its own or Python's.

    Made once, before the first fork: in a child, each object that is touched for it would cost a copied page.
    """

    def __init__(self) -> None:
        for name in ("exit", "quit"):
            setattr(builtins, name, Exit(name))
        # The program's `builtins` are a copy: what it patches is neither the harness's nor the checks'.
        own = types.ModuleType("builtins")
        own.__dict__.update(vars(builtins))
        self.module = types.ModuleType(MODULE_NAME)
        self.namespace = self.module.__dict__
        self.namespace["__builtins__"] = own
        self.for_checks = dict(vars(builtins))
        for name in [name for name in sys.modules if name.partition(".")[0] == "codedistill"]:
            del sys.modules[name]
        # dataclasses, typing and pickle look a class's module up by its name.
        sys.modules.update({"builtins": own, MODULE_NAME: self.module, "__main__": self.module})
        for _ in range(WARM_UP):
            exec(compile(_USUAL, SOURCE_NAME, "exec", dont_inherit=True), dict(self.namespace))
            wire.split(wire.join(wire.dumps([[[1], "x"], {}]), b""))
            wire.loads(wire.dumps(["value", 1]))
            json.loads('["f", []]')


class Exit:
    """`exit` and `quit`, which an interpreter without `site` does not have."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"Use {self.name}() or Ctrl-D (i.e. EOF) to exit"

    def __call__(self, code: Any = None) -> NoReturn:
        raise SystemExit(code)


def flush() -> None:
    with contextlib.suppress(BaseException):
        sys.stdout.flush()


def leave(error: SystemExit) -> NoReturn:
    """End this process as the interpreter would, without what the program has registered for its end."""
    flush()
    code = error.code
    os._exit(code & 0xFF if isinstance(code, int) else 0 if code is None else 1)
