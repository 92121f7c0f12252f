"""Calls between the process of the checks and the process of the program, in both directions.

A value that is not plain data stays where it is and travels as a reference: {"x": [number, class name]} for an object
of the sender, {"y": number} for one of the receiver. The receiver sees a `Remote`, which forwards what one does with
functions, classes, instances and iterators, and which is equal to nothing but itself: comparison and arithmetic
are never forwarded, so an object cannot lie about being the expected answer.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from . import wire
from .origin import Origin, rebuild


class Gone(BaseException):
    """The other side has ended or broke the protocol. Not an Exception: checks must not swallow it by accident."""


class Remote:
    """An object that lives in the other process."""

    __slots__ = ("_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.request("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._peer.request("getattr", self, (name,), {})

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.request("setattr", self, (name, value), {})

    def __getitem__(self, key: Any) -> Any:
        return self._peer.request("getitem", self, (key,), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        self._peer.request("setitem", self, (key, value), {})

    def __iter__(self) -> Iterator[Any]:
        return self._peer.request("iter", self, (), {})

    def __next__(self) -> Any:
        return self._peer.request("next", self, (), {})

    def __len__(self) -> int:
        return self._peer.request("len", self, (), {})

    def __bool__(self) -> bool:
        return self._peer.request("bool", self, (), {}) is True

    def __str__(self) -> str:
        return self._peer.request("str", self, (), {})

    def __repr__(self) -> str:
        return self._peer.request("repr", self, (), {})

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return hash(("remote", object.__getattribute__(self, "_number")))


def _class(name: str) -> type[Remote]:
    """A class of the same name, so that messages like "unsupported operand type" read as they should."""
    return type(name[:100].replace("\0", ""), (Remote,), {"__slots__": ()})


_CLASSES = {name: _class(name) for name in ("function", "type", "generator", "builtin_function_or_method")}
"""What nearly every program hands over: a class takes longer to make than a message to send."""

_SCALARS = frozenset({int, float, str, bool, type(None), bytes, complex})


class Peer:
    """One end of the conversation. `operations` is what the other end may ask of objects that it was given."""

    def __init__(
        self,
        sock: socket.socket,
        operations: Mapping[str, Callable[..., Any]],
        explain: Callable[[BaseException], Origin],
        before_reply: Callable[[], None] = lambda: None,
    ) -> None:
        self.sock = sock
        self.operations = operations
        self.explain = explain
        self.before_reply = before_reply
        self.gone: str | None = None
        self.asked = 0  # requests made of the other side
        self._mine: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, Remote] = {}
        self._classes = _CLASSES.copy()
        self._decode = wire.make_decoder(self._resolve)

    # -- values ------------------------------------------------------------------------------------------------------

    def pack(self, value: Any) -> Any:
        try:
            return wire.pack(value, self._refer)
        except RecursionError:
            return self._refer(value)

    def _refer(self, value: Any) -> Any:
        if isinstance(value, Remote) and object.__getattribute__(value, "_peer") is self:
            return {"y": object.__getattribute__(value, "_number")}
        number = self._numbers.get(id(value))
        if number is None:
            number = len(self._mine)
            self._mine[number] = value
            self._numbers[id(value)] = number
        return {"x": [number, type(value).__name__]}

    def _resolve(self, tag: str, payload: Any) -> Any:
        if tag == "y" and type(payload) is int and payload in self._mine:
            return self._mine[payload]
        if tag == "x" and type(payload) is list and len(payload) == 2:
            number, name = payload
            if type(number) is int and type(name) is str:
                return self._remote(number, name)
        raise wire.WireError(f"a reference {tag!r} to nothing")

    def _remote(self, number: int, name: str) -> Remote:
        known = self._theirs.get(number)
        if known is None:
            kind = self._classes.get(name)
            if kind is None:
                kind = self._classes[name] = _class(name)
            known = self._theirs[number] = kind(self, number)
        return known

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
            self._lose("ended before the checks were done")
        except wire.WireError as error:
            self._lose(f"broke the protocol: {error}")
        if type(message) is not list or len(message) < 2 or type(message[0]) is not str:
            self._lose("broke the protocol: not a message")
        return message

    def _lose(self, why: str) -> NoReturn:
        self.gone = self.gone or why
        raise Gone(self.gone)

    def request(self, operation: str, target: Remote, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do `operation` on an object of the other side. Raises what it raised there, as a builtin exception."""
        if self.gone is not None:
            raise Gone(self.gone)
        self.asked += 1
        number = object.__getattribute__(target, "_number")
        self.send(["ask", operation, {"y": number}, self.pack(args), self.pack(kwargs)])
        while True:
            message = self.receive()
            if message[0] == "ask":
                self.answer(message)
            elif message[0] == "value" and len(message) == 3:
                self._take_back(args, kwargs, message[2])
                return message[1]
            elif message[0] == "error":
                raise rebuild(message[1])
            else:
                self._lose("broke the protocol: an unexpected message")

    def answer(self, message: list[Any]) -> None:
        """Serve one request of the other side, of an object that it was given."""
        if len(message) != 5 or message[1] not in self.operations or type(message[3]) is not tuple:
            self._lose("broke the protocol: an unknown request")
        _, operation, target, args, kwargs = message
        if id(target) not in self._numbers:
            # A value of the other side's own would do as a tool: "{0.__globals__}".format reads what getattr refuses.
            self._lose("broke the protocol: a request of an object that it was not given")
        mutable: list[tuple[int | str, Any]] = [
            (key, value) for key, value in enumerate(args) if type(value) not in _SCALARS
        ]
        mutable += [(key, value) for key, value in kwargs.items() if type(value) not in _SCALARS]
        before = [wire.dumps(self.pack(value)) for _, value in mutable]
        try:
            value = self.operations[operation](target, *args, **kwargs)
            reply = self._reply(value, mutable, before)
        except (Gone, SystemExit):
            raise
        except BaseException as error:
            reply = wire.dumps(["error", self.explain(error).to_wire(self.pack)])
        self.before_reply()
        self._send(reply)

    def _reply(self, value: Any, mutable: list[tuple[int | str, Any]], before: list[bytes]) -> bytes:
        after = [wire.dumps(self.pack(item)) for _, item in mutable]
        changed = [[key, self.pack(item)] for (key, item), a, b in zip(mutable, before, after, strict=True) if a != b]
        try:
            return wire.dumps(["value", self.pack(value), changed])
        except RecursionError:
            return wire.dumps(["value", self._refer(value), changed])

    def _take_back(self, args: tuple[Any, ...], kwargs: dict[str, Any], changed: Any) -> None:
        """Arguments travel by value: repeat here what the other side did to its copies."""
        if type(changed) is not list:
            self._lose("broke the protocol: changed arguments")
        for item in changed:
            if type(item) is not list or len(item) != 2:
                self._lose("broke the protocol: changed arguments")
            key, new = item
            if type(key) is int and 0 <= key < len(args):
                replace_content(args[key], new)
            elif type(key) is str and key in kwargs:
                replace_content(kwargs[key], new)


def replace_content(old: Any, new: Any) -> Any:
    """Give `old` the content of `new`, keeping the identity of `old` and of its parts where the types agree."""
    kind = type(old)
    if kind is not type(new):
        return new
    if kind is list:
        old[:] = [replace_content(old[i], item) if i < len(old) else item for i, item in enumerate(new)]
    elif kind is tuple and len(old) == len(new):
        parts = [replace_content(before, after) for before, after in zip(old, new, strict=True)]
        return old if all(a is b for a, b in zip(old, parts, strict=True)) else new
    elif issubclass(kind, dict):
        merged = {key: replace_content(old[key], item) if key in old else item for key, item in new.items()}
        old.clear()
        old.update(merged)
    elif kind is set:
        old.clear()
        old.update(new)
    elif kind is bytearray:
        old[:] = new
    elif hasattr(old, "extend") and hasattr(old, "clear"):
        old.clear()
        old.extend(new)
    else:
        return new
    return old
