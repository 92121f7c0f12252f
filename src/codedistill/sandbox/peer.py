"""Calls between the process of the checks and the process of the program, in both directions.

A value that is not plain data stays where it is and travels as a reference: {"x": [number, class name, kind]} for an
object of the sender, {"y": number} for one of the receiver, who sees a `Remote`. Exceptions and their classes become
real ones on the other side ({"R": ...}, {"X": ...}), and named tuples keep their names ({"P": ...}).
"""

from __future__ import annotations

import collections
import contextlib
import sys
from _thread import RLock  # as functools has it: `threading` takes long to load
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from . import wire
from .copies import replace_content
from .exceptions import is_exception_class, make_exception, origin_of, remote_of, stand_in
from .origin import Origin, arguments_of, message_of
from .remote import KINDS, Gone, Remote, kind_of, remote_class

_USUAL = {("function", "f"), ("type", "t"), ("generator", "g"), ("builtin_function_or_method", "b")}
_CLASSES = {key: remote_class(*key) for key in _USUAL}
"""What nearly every program hands over: a class takes longer to make than a message to send."""

ENDED_EARLY = "ended before the checks were done"

_SCALARS = frozenset({int, float, str, bool, type(None), bytes, complex})

_NAME: Any = type.__dict__["__name__"]
_BASES: Any = type.__dict__["__bases__"]
_MODULE_LIMIT = 200


class Peer:
    """One end of the conversation. `operations` is what the other end may ask of objects that it was given.

    `place` tells where an exception was raised here (see `origin.place_of`). `surroundings` is asked before each
    request what the other side is to change for it, and `within` does so on that side (see `surroundings.py`).
    """

    def __init__(
        self,
        sock: wire.Socket,
        operations: Mapping[str, Callable[..., Any]],
        place: Callable[[BaseException], list[Any]],
        before_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self.sock = sock
        self.operations = operations
        self.place = place
        self.before_reply = before_reply
        self.surroundings: Callable[[], dict[str, Any]] = dict
        self.within: Callable[[Any], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        self.gone: str | None = None
        self.asked = 0  # requests made of the other side
        self.touched = False  # something was done with an object of the other side, perhaps without a request
        self._mine: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, Any] = {}
        self._records: dict[tuple[str, ...], type] = {}
        self._classes: dict[tuple[str, str], type[Remote]] = _CLASSES.copy()
        self._decode = wire.make_decoder(self._resolve)
        self._lock = RLock()  # checks may call the program from several threads

    # -- values ------------------------------------------------------------------------------------------------------

    def pack(self, value: Any) -> Any:
        try:
            return wire.pack(value, self._refer)
        except RecursionError:
            return self._reference(value)

    def _refer(self, value: Any) -> Any:
        kind = type(value)
        if issubclass(kind, Remote) and value._peer is self:
            return {"y": value._number}
        if issubclass(kind, BaseException):
            return self._packed_exception(value)
        if is_exception_class(value):
            return self._packed_exception_class(value)
        if wire.has_named_fields(kind):
            return self._packed_record(value)
        return self._reference(value)

    def _reference(self, value: Any) -> Any:
        number = self._numbers.get(id(value))
        if number is None:
            number = len(self._mine)
            self._mine[number] = value
            self._numbers[id(value)] = number
        return {"x": [number, _NAME.__get__(type(value)), kind_of(value)]}

    def _packed_exception(self, error: BaseException) -> Any:
        remote = remote_of(error)
        if remote is not None and remote._peer is self:
            return {"y": remote._number}
        kind, arguments = self.pack(type(error)), self.pack(arguments_of(error))
        return {"R": [kind, arguments, message_of(error), self._reference(error)]}

    def _packed_exception_class(self, value: type[BaseException]) -> Any:
        remote = value.__dict__.get("remote")
        if isinstance(remote, Remote) and remote._peer is self:
            return {"y": remote._number}
        bases = [self.pack(base) for base in _BASES.__get__(value) if is_exception_class(base)]
        module = value.__dict__.get("__module__")
        module = module[:_MODULE_LIMIT] if type(module) is str else ""
        return {"X": [_NAME.__get__(value), module, bases, self._reference(value)]}

    def _packed_record(self, value: tuple[Any, ...]) -> Any:
        kind: Any = type(value)
        name, fields = _NAME.__get__(kind), kind._fields
        items = [self.pack(item) for item in tuple.__iter__(value)]
        if len(items) != len(fields) or not all(type(field) is str for field in fields):
            return {"t": items}
        self._records.setdefault((name, *fields), kind)
        return {"P": [name, list(fields), items]}

    def _resolve(self, tag: str, payload: Any) -> Any:
        if tag == "y" and type(payload) is int and payload in self._mine:
            return self._mine[payload]
        if type(payload) is list:
            if tag == "x" and len(payload) == 3:
                return self._remote(*payload)
            if tag == "P" and len(payload) == 3:
                return self._record(*payload)
            if tag == "R" and len(payload) == 4:
                return self._exception(*payload)
            if tag == "X" and len(payload) == 4:
                return self._exception_class(*payload)
        raise wire.WireError(f"a reference {tag!r} to nothing")

    def _remote(self, number: Any, name: Any, kind: Any) -> Any:
        if type(number) is not int or type(name) is not str or kind not in KINDS:
            raise wire.WireError("a reference to nothing")
        known = self._theirs.get(number)
        if known is None:
            cls = self._classes.get((name, kind))
            if cls is None:
                cls = self._classes[name, kind] = remote_class(name, kind)
            known = self._theirs[number] = cls(self, number)
        return known

    def _record(self, name: Any, fields: Any, items: Any) -> Any:
        """A named tuple; a plain one where the names would not do."""
        if type(name) is not str or type(fields) is not list or type(items) is not list:
            raise wire.WireError("a named tuple without names")
        key = (name, *fields)
        if key not in self._records:
            try:
                self._records[key] = collections.namedtuple(name[:_MODULE_LIMIT], fields)
            except (TypeError, ValueError):
                return tuple(items)
        kind = self._records[key]
        return tuple.__new__(kind, items) if len(fields) == len(items) else tuple(items)

    def _exception(self, kind: Any, arguments: Any, message: Any, remote: Any) -> BaseException:
        origin = Origin.read(kind, message, [])
        return make_exception(kind, arguments, origin, remote if isinstance(remote, Remote) else None)

    def _exception_class(self, name: Any, module: Any, bases: Any, remote: Any) -> type[BaseException]:
        texts = type(name) is str and type(module) is str
        if not texts or type(bases) is not list or not isinstance(remote, Remote):
            raise wire.WireError("a class of exceptions without a name")
        key = -1 - remote._number  # beside the reference itself
        if key not in self._theirs:
            self._theirs[key] = stand_in(name, module, bases, remote)
        found: type[BaseException] = self._theirs[key]
        return found

    # -- messages ----------------------------------------------------------------------------------------------------

    def send(self, form: Any) -> None:
        try:
            data = wire.dumps(form)
        except RecursionError:
            raise RecursionError("a value too deeply nested to be handed over") from None
        self._send(data)

    def _send(self, data: bytes) -> None:
        try:
            wire.send_frame(self.sock, data)
        except OSError as error:
            self._lose(f"could not be reached: {error}")

    def receive(self) -> Any:
        try:
            message = self._decode(wire.receive_frame(self.sock))
        except (EOFError, OSError):
            self._lose(ENDED_EARLY)
        except wire.WireError as error:
            self._lose(f"broke the protocol: {error}")
        if type(message) is not list or len(message) < 2 or type(message[0]) is not str:
            self._lose("broke the protocol: not a message")
        return message

    def _lose(self, why: str) -> NoReturn:
        self.gone = self.gone or why
        raise Gone(self.gone)

    def request(self, operation: str, target: Remote, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do `operation` on an object of the other side. Raises what it raised there."""
        with self._lock:
            if self.gone is not None:
                raise Gone(self.gone)
            self.asked += 1
            self.touched = True
            form = ["ask", operation, {"y": target._number}, self.pack(args), self.pack(kwargs)]
            changes = self.surroundings()
            if changes:
                form.append(self.pack(changes))
            self.send(form)
            while True:
                message = self.receive()
                if message[0] == "ask":
                    self.answer(message)
                elif message[0] == "value" and len(message) == 3:
                    self._take_back(args, kwargs, message[2])
                    return message[1]
                elif message[0] == "same" and len(message) == 3:
                    self._take_back(args, kwargs, message[2])
                    return self._argument(args, kwargs, message[1])
                elif message[0] == "error":
                    raise self.error_of(message)
                elif message[0] == "print" and type(message[1]) is str:
                    sys.stdout.write(message[1])
                else:
                    self._lose("broke the protocol: an unexpected message")

    def error_of(self, message: list[Any]) -> BaseException:
        """The exception of an "error" message."""
        error = message[1]
        if not isinstance(error, BaseException):
            self._lose("broke the protocol: an error that is none")
        origin = origin_of(error)
        if origin is not None:  # else it is one of this side's, which has been there and comes back
            error.codedistill_origin = Origin.read(type(error), origin.message, message[2:])  # type: ignore[attr-defined]
        return error

    def answer(self, message: list[Any]) -> None:
        """Serve one request of the other side, of an object that it was given."""
        if len(message) not in (5, 6) or type(message[1]) is not str or type(message[3]) is not tuple:
            self._lose("broke the protocol: an unknown request")
        _, operation, target, args, kwargs, *changes = message
        if id(target) not in self._numbers:
            # A value of the other side's own would do as a tool: "{0.__globals__}".format reads what getattr refuses.
            self._lose("broke the protocol: a request of an object that it was not given")
        mutable: list[tuple[int | str, Any]] = [
            (key, value) for key, value in enumerate(args) if type(value) not in _SCALARS
        ]
        mutable += [(key, value) for key, value in kwargs.items() if type(value) not in _SCALARS]
        before = [wire.dumps(self.pack(value)) for _, value in mutable]
        try:
            if operation not in self.operations:
                raise TypeError(f"{operation} is not to be had of an object of the other side")
            if changes:
                with self.within(*changes):
                    value = self.operations[operation](target, *args, **kwargs)
            else:
                value = self.operations[operation](target, *args, **kwargs)
            reply = self._reply(value, mutable, before)
        except (Gone, SystemExit):
            raise
        except BaseException as error:
            reply = wire.dumps(self.error_form(error))
        self.before_reply()
        self._send(reply)

    def error_form(self, error: BaseException) -> list[Any]:
        return ["error", self.pack(error), *self.place(error)]

    def _reply(self, value: Any, mutable: list[tuple[int | str, Any]], before: list[bytes]) -> bytes:
        after = [wire.dumps(self.pack(item)) for _, item in mutable]
        changed = [[key, self.pack(item)] for (key, item), a, b in zip(mutable, before, after, strict=True) if a != b]
        for key, item in mutable:
            if item is value:
                return wire.dumps(["same", key, changed])
        try:
            return wire.dumps(["value", self.pack(value), changed])
        except RecursionError:
            return wire.dumps(["value", self._reference(value), changed])

    def _take_back(self, args: tuple[Any, ...], kwargs: dict[str, Any], changed: Any) -> None:
        """Arguments travel by value: repeat here what the other side did to its copies."""
        if type(changed) is not list:
            self._lose("broke the protocol: changed arguments")
        for item in changed:
            if type(item) is not list or len(item) != 2:
                self._lose("broke the protocol: changed arguments")
            replace_content(self._argument(args, kwargs, item[0]), item[1])

    def _argument(self, args: tuple[Any, ...], kwargs: dict[str, Any], key: Any) -> Any:
        if type(key) is int and 0 <= key < len(args):
            return args[key]
        if type(key) is str and key in kwargs:
            return kwargs[key]
        self._lose("broke the protocol: no such argument")
