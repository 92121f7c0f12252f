"""The process of the untrusted program. By the time the source runs, it is confined for good.

`serve` runs the source and then answers calls from the process of the checks. `run_with_checks` runs source and checks
in one namespace; only after the checks are done does it write the token that it was given before the source ran.
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
from _sitebuiltins import Quitter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn

from . import wire
from .failures import SOURCE_NAME, describe

MODULE_NAME = "program"
REACHED = b"r"
"""Sent to the caller when the source has run to its end and the checks begin, before the verdict."""

WARM_UP = 12
USUAL = "from typing import List\n\ndef f(x: List[int]) -> int:\n    return sum(x)\n\nf([1])\n"
"""Run before the first fork: what the interpreter prepares on first use is then there for every child."""

Namespace = dict[str, Any]


def make_namespace() -> Namespace:
    """The namespace of the program's module. It names only the program's own objects and Python's."""
    # The program's `builtins` are a copy: what it patches is not the harness's.
    own = types.ModuleType("builtins")
    own.__dict__.update(vars(builtins), **{name: Quitter(name, "Ctrl-D (i.e. EOF)") for name in ("exit", "quit")})
    module = types.ModuleType(MODULE_NAME)
    module.__dict__["__builtins__"] = own
    for name in [name for name in sys.modules if name.partition(".")[0] == "codedistill"]:
        del sys.modules[name]
    # dataclasses, typing and pickle look a class's module up by its name.
    sys.modules.update({"builtins": own, MODULE_NAME: module, "__main__": module})
    for _ in range(WARM_UP):
        exec(compile(USUAL, SOURCE_NAME, "exec", dont_inherit=True), dict(module.__dict__))
        wire.loads(wire.dumps([[[1], "x"], {}]))
        wire.loads(wire.dumps(["value", 1]))
    return module.__dict__


def serve(descriptor: int, namespace: Namespace) -> NoReturn:
    """Run the source that comes over the channel, then answer calls until this process is ended."""
    channel = socket.socket(fileno=descriptor)
    entry_point, source = (wire.to_text(wire.receive_frame(channel)) for _ in range(2))
    process = os.getpid()

    def reply(action: Callable[[], Any], in_source: bool = False) -> None:
        try:
            message = wire.dumps(["value", action()])
        except SystemExit as error:
            leave(error)
        except BaseException as error:
            failure = describe(error, source) | ({"raised_in": "source"} if in_source else {})
            # `except` clauses of the checks match these.
            bases = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
            message = wire.dumps(["error", failure, bases])
        if os.getpid() != process:  # a child that the program forked must not speak for it
            os._exit(0)
        flush()
        wire.send_frame(channel, message)

    def answer() -> Any:
        """Without arguments, the question is only whether there is a function."""
        function = eval(entry_point, namespace)
        return None if arguments is None else function(*arguments, **keywords)

    reply(lambda: exec(compile(source, SOURCE_NAME, "exec", dont_inherit=True), namespace), in_source=True)
    while True:
        arguments, keywords = wire.loads(wire.receive_frame(channel))
        reply(answer)


def run_with_checks(descriptor: int, namespace: Namespace) -> NoReturn:
    """Run the source, then its checks, and write the verdict to the channel."""
    # The program can change whatever it can name. So all that leads to a pass is bound to local names before it runs.
    process, get_process, end, write, dumps = os.getpid(), os.getpid, os._exit, os.write, json.dumps
    trace, profile = sys.settrace, sys.setprofile
    channel = socket.socket(fileno=descriptor)
    token, facts, text, compiled = (wire.receive_frame(channel) for _ in range(4))
    channel.detach()
    about, source, code = json.loads(facts), wire.to_text(text), marshal.loads(compiled)
    entry_point, guard = about["entry_point"], _Guard(**about["guard"])
    in_source, reached = True, False
    try:
        exec(compile(source, SOURCE_NAME, "exec", dont_inherit=True), namespace)
        if get_process() != process:
            end(0)
        trace(None)
        profile(None)
        in_source = False
        write(descriptor, REACHED)
        before = dict(namespace)
        exec(code, namespace)
        own = {name: value for name, value in namespace.items() if before.get(name) is not value}
        guard.keep(namespace, MODULE_NAME, own)
        if entry_point is not None:
            check = own["check"]
            function = eval(entry_point, before if entry_point == "check" else namespace)
            reached = True
            check(function)
            if isinstance(check, types.FunctionType) and check.__code__.co_filename == SOURCE_NAME:
                raise RuntimeError("the program replaced check")
        what = guard.changed()
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
    """Detects whether a program replaced something that its checks rely on.

    It covers the built-ins that the checks use, the functions and classes that they define or find in the modules that
    they import, and the methods of these classes. Names that the checks may replace themselves (`assigned`) are
    skipped.
    """

    def __init__(self, modules: list[str], builtins: list[str], assigned: list[str]) -> None:
        self.assigned = frozenset(assigned)
        self.kept: list[tuple[Mapping[str, Any], str, str, Any, list[Any]]] = []
        """For each object: the mapping that holds it, the mapping's name, the object's name, the object, its parts."""
        self.classes: list[tuple[Mapping[str, Any], str, frozenset[str]]] = []
        """Classes of libraries, with their names: an added method can take the place of an inherited one."""
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        packages = tuple(f"{name}." for name in modules)
        found = {name: m for name, m in sys.modules.items() if name in modules or name.startswith(packages)}
        self.keep(sys.modules, "sys.modules", found)
        used = ("__build_class__", "__import__", *builtins)
        own = vars(sys.modules["builtins"])
        self.keep(own, "builtins", {name: own[name] for name in used if name in own})
        for name, module in found.items():
            if name != MODULE_NAME:
                self.keep(vars(module), name, dict(vars(module)))

    def keep(self, place: Mapping[str, Any], where: str, things: Mapping[str, Any]) -> None:
        for name, thing in things.items():
            guarded = callable(thing) or isinstance(thing, types.ModuleType | classmethod | property)
            if not guarded or name in self.assigned or name.endswith("hook"):  # sys.excepthook: a program's own affair
                continue
            self.kept.append((place, where, name, thing, _parts(thing)))
            if isinstance(thing, type) and thing.__module__ == where:
                self.keep(vars(thing), f"{where}.{name}", dict(vars(thing)))
                if where != MODULE_NAME:
                    self.classes.append((vars(thing), f"{where}.{name}", frozenset(vars(thing))))

    def changed(self) -> str:
        """The name of the first object that was replaced or changed; '' if there is none."""
        for place, where, name, thing, parts in self.kept:
            now = _parts(thing)
            same = len(now) == len(parts) and all(a is b for a, b in zip(now, parts, strict=True))
            if place.get(name) is not thing or not same:
                return f"{where}.{name}"
        for methods, where, names in self.classes:
            for name in methods.keys() - names - self.assigned:
                if callable(methods[name]):
                    return f"{where}.{name}"
        return ""


def _parts(thing: Any) -> list[Any]:
    """The parts of an object that can be replaced while the object stays the same."""
    if type(thing) in (staticmethod, classmethod):
        thing = thing.__func__
    if type(thing) is not types.FunctionType:
        return [type(thing)]
    keywords: Iterable[Any] = (thing.__kwdefaults__ or {}).values()
    return [thing.__code__, thing.__defaults__, *keywords]


def flush() -> None:
    with contextlib.suppress(BaseException):
        sys.stdout.flush()


def leave(error: SystemExit) -> NoReturn:
    """End this process as the interpreter would, without the program's exit handlers."""
    flush()
    code = error.code
    os._exit(code & 0xFF if isinstance(code, int) else 0 if code is None else 1)
