"""Frames between the processes of a worker, and plain data as JSON.

JSON's own types stand for themselves; every other plain type is an object with one key, its tag. Decoding builds plain
values only: no code of the other side runs, whatever the bytes are.
"""

from __future__ import annotations

import collections
import importlib
import json
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Any

MAX_FRAME = 512 * 2**20
"""Bytes. A longer frame is refused before it is read."""

_LENGTH = struct.Struct(">Q")
_BIG = 1 << 1024  # decimal text of longer integers is slow and limited: they travel as hexadecimal
_EASY = frozenset({str, float, bool, type(None)})
_INTEGERS = frozenset({int, bool})


class WireError(Exception):
    """The other side broke the protocol."""


class Opaque:
    """Stands for an object that is not plain data. It has a truth value and equals nothing but itself."""

    def __init__(self, kind: str, truth: bool) -> None:
        self._kind, self._truth = kind, truth

    def __bool__(self) -> bool:
        return self._truth

    def __repr__(self) -> str:
        return f"<{self._kind} object of the program>"


def send_frame(sock: socket.socket, data: bytes) -> None:
    sock.sendall(_LENGTH.pack(len(data)))
    sock.sendall(data)


def send_facts(sock: socket.socket, facts: Any) -> None:
    """A frame of plain JSON, between the trusted processes."""
    send_frame(sock, json.dumps(facts).encode())


def receive_frame(sock: socket.socket) -> bytes:
    """The next frame. Raises EOFError when the other side is gone, WireError for a frame over MAX_FRAME."""
    size = _LENGTH.size
    for final in (False, True):
        buffer = bytearray(size)
        view = memoryview(buffer)
        while view:
            count = sock.recv_into(view)
            if not count:
                raise EOFError
            view = view[count:]
        if not final:
            (size,) = _LENGTH.unpack(buffer)
            if size > MAX_FRAME:
                raise WireError(f"a frame of {size} bytes")
    return bytes(buffer)


def to_bytes(text: str) -> bytes:
    """UTF-8, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def to_text(data: bytes) -> str:
    return str(data, "utf-8", "surrogatepass")


def dumps(value: Any) -> bytes:
    """Encode a value. Raises RecursionError if it is nested too deeply or contains itself."""
    return to_bytes(_ENCODER.encode(_pack(value)))


def loads(data: bytes) -> Any:
    """Decode a value. Raises WireError for anything that `dumps` does not write."""
    try:
        return _DECODER.decode(to_text(data))
    except MemoryError:
        raise
    except Exception as error:
        raise WireError(f"{type(error).__name__}: {error}"[:200]) from None


def _pack(value: Any) -> Any:
    """The JSON form of a value, made once, so that an object cannot change its answers later.

    A subclass of a built-in type becomes that type, read by the base's own methods. Methods that the program overrode,
    `__eq__` above all, are lost.
    """
    kind = type(value)
    packer = _PACKERS.get(kind)
    if packer is not None:
        return packer(value)
    for base, plain in _BASES:
        if issubclass(kind, base):
            return _PACKERS[base](plain(value))
    if kind.__module__ in _LIBRARY and kind is getattr(importlib.import_module(kind.__module__), kind.__name__, None):
        pack = _LIBRARY[kind.__module__].get(kind.__name__)
        if pack is not None:
            return {f"{kind.__module__}.{kind.__name__}": pack(value)}
    if kind is type and value in _TYPES.values():
        return {"type": value.__name__}
    if isinstance(value, Iterator):
        return {"iterator": _pack_list(list(value))}
    try:
        truth = bool(value)
    except Exception:
        truth = True
    return {"opaque": [str(kind.__name__), truth]}


def _pack_int(value: int) -> Any:
    return value if -_BIG < value < _BIG else {"int": hex(value)}


def _pack_list(value: Any) -> Any:
    kinds = set(map(type, value))
    # Long lists of simple values are frequent; these need no step of Python for each element.
    if kinds <= _EASY or (kinds <= _INTEGERS and min(value) > -_BIG and max(value) < _BIG):
        return list(value)
    return [_pack(item) for item in value]


def _pack_pairs(value: Any) -> Any:
    return [[_pack(key), _pack(item)] for key, item in value.items()]


_PACKERS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((type(None), bool, float, str), lambda v: v),
    int: _pack_int,
    list: _pack_list,
    tuple: lambda v: {"tuple": _pack_list(v)},
    dict: lambda v: {"dict": _pack_pairs(v)},
    set: lambda v: {"set": _pack_list(v)},
    frozenset: lambda v: {"frozenset": _pack_list(v)},
    bytes: lambda v: {"bytes": v.hex()},
    bytearray: lambda v: {"bytearray": v.hex()},
    complex: lambda v: {"complex": [v.real, v.imag]},
    range: lambda v: {"range": [_pack_int(v.start), _pack_int(v.stop), _pack_int(v.step)]},
    type(...): lambda v: {"ellipsis": 0},
    type({}.keys()): lambda v: {"keys": _pack_list(v)},
    type({}.values()): lambda v: {"values": _pack_list(v)},
    type({}.items()): lambda v: {"items": _pack_list(v)},
    collections.Counter: lambda v: {"Counter": _pack_pairs(v)},
    collections.OrderedDict: lambda v: {"OrderedDict": _pack_pairs(v)},
    collections.deque: lambda v: {"deque": [_pack_list(v), v.maxlen]},
}

_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__index__),
    (float, float.__float__),
    (list, lambda v: list(list.__iter__(v))),
    (tuple, lambda v: tuple(tuple.__iter__(v))),
    (dict, lambda v: dict(dict.items(v))),
    (set, lambda v: set(set.__iter__(v))),
    (frozenset, lambda v: frozenset(frozenset.__iter__(v))),
    (bytes, lambda v: bytes(bytes.__iter__(v))),
    (bytearray, lambda v: bytearray(bytearray.__iter__(v))),
    (complex, lambda v: complex(complex.real.__get__(v), complex.imag.__get__(v))),
)

_LIBRARY: dict[str, dict[str, Callable[[Any], Any]]] = {
    "array": {"array": lambda v: [v.typecode, _pack_list(v.tolist())]},
    "decimal": {"Decimal": lambda v: [str(v)]},
    "fractions": {"Fraction": lambda v: [_pack_int(v.numerator), _pack_int(v.denominator)]},
    "datetime": {
        "datetime": lambda v: [v.isoformat()],
        "date": lambda v: [v.isoformat()],
        "time": lambda v: [v.isoformat()],
        "timedelta": lambda v: [v.days, v.seconds, v.microseconds],
    },
}
"""Value types of the standard library, by module: imported when such a value first travels."""

_TYPES = {kind.__name__: kind for kind, _ in _BASES} | {"bool": bool}

_UNPACKERS: dict[str, Callable[[Any], Any]] = {
    "int": lambda v: int(v, 16),
    "tuple": tuple,
    "dict": dict,
    "set": set,
    "frozenset": frozenset,
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "complex": lambda v: complex(*v),
    "range": lambda v: range(*v),
    "ellipsis": lambda v: ...,
    "keys": lambda v: dict.fromkeys(v).keys(),
    "values": lambda v: dict(enumerate(v)).values(),
    "items": lambda v: dict(v).items(),
    "Counter": lambda v: collections.Counter(dict(v)),
    "OrderedDict": collections.OrderedDict,
    "deque": lambda v: collections.deque(*v),
    "iterator": iter,
    "type": _TYPES.__getitem__,
    "opaque": lambda v: Opaque(str(v[0]), v[1] is True),
}


def _unpack(form: dict[str, Any]) -> Any:
    ((tag, content),) = form.items()
    if tag in _UNPACKERS:
        return _UNPACKERS[tag](content)
    module, _, name = tag.partition(".")
    if name not in _LIBRARY.get(module, ()):
        raise WireError(f"unknown tag {tag!r}")
    kind = getattr(importlib.import_module(module), name)
    from_text = module == "datetime" and name != "timedelta"
    return kind.fromisoformat(*content) if from_text else kind(*content)


_ENCODER = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_hook=_unpack)
