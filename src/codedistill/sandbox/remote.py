"""Objects of the other process, as this one sees them.

A `Remote` forwards what one does with functions, classes, instances and iterators. Comparison and arithmetic only where
both operands are the other side's: one of this side may be the expected answer, which the object would be told of, and
it would say itself whether it is that. For the same reason `in` is never forwarded, nor anything with an operand that
is not the object's own but for what hands over no more than a call of a method would.
"""

from __future__ import annotations

import operator
import types
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .exceptions import origin_of
from .signatures import read_signature

if TYPE_CHECKING:
    from .peer import Peer


class Gone(BaseException):
    """The other side has ended or broke the protocol. Not an Exception: checks must not swallow it by accident."""


class Remote:  # without a docstring: __doc__ is the other side's
    __slots__ = ("_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_number", number)

    def _request(self, operation: str, *arguments: Any) -> Any:
        return self._peer.request(operation, self, arguments, {})

    def __getattr__(self, name: str) -> Any:
        if name == "__signature__":
            return read_signature(self._request("signature"))
        return self._request("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._request("setattr", name, value)

    def __delattr__(self, name: str) -> None:
        self._request("delattr", name)

    def __getitem__(self, key: Any) -> Any:
        return self._request("getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._request("setitem", key, value)

    def __delitem__(self, key: Any) -> None:
        self._request("delitem", key)

    def __bool__(self) -> bool:
        return self._request("bool") is True

    def __round__(self, digits: int | None = None) -> Any:
        return self._request("round", digits)

    def __format__(self, form: str) -> Any:
        return self._request("format", form)

    def __deepcopy__(self, memo: Any) -> Any:
        return self._request("deepcopy")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        """The object is told of an error, but not of what the checks say in it, and it cannot make it disappear."""
        told = error if error is None or origin_of(error) else None
        try:
            self._request("exit", kind, told)
        except Exception:
            if error is None:
                raise

    def __eq__(self, other: object) -> Any:
        self._peer.touched = True
        return self is other or (_of_the_same_side(self, other) and self._request("eq", other))

    def __hash__(self) -> int:
        number = self._request("hash")
        return number if type(number) is int else 0

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._request("getattr", "__doc__")


def _forward(operation: str) -> Callable[[Remote], Any]:
    return lambda self: self._request(operation)


# Each takes nothing but the object, and has the name of an operation of the other side.
for _name in ("len", "iter", "next", "str", "repr", "int", "float", "complex", "index", "abs", "neg", "pos", "invert"):
    setattr(Remote, f"__{_name}__", _forward(_name))
for _name in ("trunc", "floor", "ceil", "reversed", "bytes", "dir", "enter", "copy"):
    setattr(Remote, f"__{_name}__", _forward(_name))


def _of_the_same_side(one: Remote, other: Any) -> bool:
    return issubclass(type(other), Remote) and other._peer is one._peer


def _forward_if_both_are_remote(operation: str) -> Callable[[Remote, Any], Any]:
    def forward(self: Remote, other: Any) -> Any:
        self._peer.touched = True
        return self._request(operation, other) if _of_the_same_side(self, other) else NotImplemented

    return forward


def _not_forwarded(self: Remote, other: Any) -> Any:
    self._peer.touched = True
    return NotImplemented


COMPARISONS = ("lt", "le", "gt", "ge")
ARITHMETIC = (
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "lshift",
    "rshift",
    "and",
    "xor",
    "or",
)
for _name in (*COMPARISONS, *ARITHMETIC):
    setattr(Remote, f"__{_name}__", _forward_if_both_are_remote(_name))
for _name in ARITHMETIC:  # the other side does this by itself where both operands are there
    setattr(Remote, f"__r{_name}__", _not_forwarded)


BETWEEN_TWO: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, f"__{name}__") for name in ("eq", *COMPARISONS, *ARITHMETIC)
}
"""What the other side does for it: of each object it has been handed a reference."""


def _claimed(kind: type) -> Any:
    """`__class__` as `isinstance` asks for it."""

    def claim(self: Remote) -> type:
        self._peer.touched = True
        return kind

    return property(claim)


class RemoteCallable(Remote):
    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.request("call", self, args, kwargs)


class RemoteType(RemoteCallable):
    __slots__ = ()
    __class__ = _claimed(type)

    def __instancecheck__(self, value: Any) -> bool:
        return self._request("isinstance", value) is True

    def __subclasscheck__(self, value: Any) -> bool:
        return self._request("issubclass", value) is True


class RemoteFunction(RemoteCallable):
    __slots__ = ()
    __class__ = _claimed(types.FunctionType)


class RemoteBuiltin(RemoteCallable):
    __slots__ = ()
    __class__ = _claimed(types.BuiltinFunctionType)


class RemoteGenerator(Remote):
    __slots__ = ()
    __class__ = _claimed(types.GeneratorType)


class RemoteCoroutine(Remote):
    """Runs to its end when it is first awaited, in an event loop of the other side."""

    __slots__ = ()
    __class__ = _claimed(types.CoroutineType)

    def __await__(self) -> Iterator[Any]:
        return self

    def send(self, value: Any) -> Any:
        raise StopIteration(self._request("run"))

    def __next__(self) -> Any:
        return self.send(None)

    def throw(self, *error: Any) -> Any:
        return self._request("getattr", "throw")(*error)

    def close(self) -> None:
        self._request("getattr", "close")()


KINDS: dict[str, type[Remote]] = {
    "o": Remote,
    "c": RemoteCallable,
    "t": RemoteType,
    "f": RemoteFunction,
    "b": RemoteBuiltin,
    "g": RemoteGenerator,
    "k": RemoteCoroutine,
}


def kind_of(value: Any) -> str:
    """Which of `KINDS` the other side is to see. Asks the value's class itself, not what it says of itself."""
    kind = type(value)
    found = _KINDS_OF_TYPES.get(kind)
    if found is not None:
        return found
    return "t" if issubclass(kind, type) else "c" if callable(value) else "o"


_KINDS_OF_TYPES: dict[type, str] = {
    type: "t",
    types.FunctionType: "f",
    types.BuiltinFunctionType: "b",
    types.GeneratorType: "g",
    types.CoroutineType: "k",
}


def remote_class(name: str, kind: str) -> type[Remote]:
    """A class of the same name, so that messages like "unsupported operand type" read as they should."""
    return type(name[:100].replace("\0", ""), (KINDS[kind],), {"__slots__": (), "__doc__": Remote.__doc__})


def tells_of_its_use(value: Any) -> bool:
    """Is it a plain function or class of the other side, which nobody can use without `Peer.touched` becoming true?

    Not so data, of which there is a copy here; nor what cannot be called, or is of a class of the program's own: the
    error of a call, or the name of the class, would come from here.
    """
    kind = type(value)
    return issubclass(kind, (RemoteFunction, RemoteType)) and kind.__name__ in ("function", "type")
