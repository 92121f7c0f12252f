"""Plain data on the wire between the program under test and its checks.

Values travel as JSON text in length-prefixed frames. JSON's own types stand for themselves; every other plain type is
an object with a single key, its tag. Reading a frame builds plain values and nothing else: no code of the other side
runs, whatever the bytes are. A value that is not plain travels as a reference (see `remote.py`).
"""

from __future__ import annotations

import _socket  # `socket` is made of it, and would take a tenth of a worker's start to load
import builtins
import collections
import importlib
import json.encoder
import struct
from collections.abc import Callable
from typing import Any, NoReturn

MAX_FRAME = 512 * 2**20
"""Bytes. A longer frame is refused before it is read."""

_HEADER = struct.Struct(">Q")
_BIG = 1 << 1024  # Decimal text of longer integers is slow (quadratic) and limited: they go as hexadecimal.
_EASY = frozenset({str, float, bool, type(None)})
_INTEGERS = frozenset({int, bool})

Socket = _socket.socket

Refer = Callable[[Any], Any]
"""Turns a value that is not plain into its JSON form, a reference."""


Data = bytes | memoryview


class WireError(Exception):
    """The other side sent something that is not of this protocol."""


def _pack_int(value: int, refer: Refer) -> Any:
    return value if -_BIG < value < _BIG else {"i": hex(value)}


def _pack_list(value: list[Any], refer: Refer) -> Any:
    kinds = set(map(type, value))
    # Lists of simple values are the most frequent large ones; json writes them without a Python step per element.
    if kinds <= _EASY or (kinds <= _INTEGERS and min(value) > -_BIG and max(value) < _BIG):
        return value
    return [pack(item, refer) for item in value]


def _pack_pairs(value: dict[Any, Any], refer: Refer) -> list[Any]:
    return [[pack(key, refer), pack(item, refer)] for key, item in value.items()]


def _items(value: Any, refer: Refer) -> Any:
    return _pack_list(list(value), refer)


def _itself(value: Any, refer: Refer) -> Any:
    return value


# Not `type` and `object`: with these, the other side could make classes here.
_TYPES: dict[str, type] = {
    kind.__name__: kind
    for kind in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, type(None))
}
_TYPES |= {
    kind.__name__: kind
    for kind in vars(builtins).values()
    if isinstance(kind, type) and issubclass(kind, BaseException)
}


def _pack_type(value: type, refer: Refer) -> Any:
    return {"n": value.__name__} if _TYPES.get(value.__name__) is value else refer(value)


PACKERS: dict[type, Callable[[Any, Refer], Any]] = {
    type(None): _itself,
    bool: _itself,
    float: _itself,
    str: _itself,
    int: _pack_int,
    list: _pack_list,
    tuple: lambda v, refer: {"t": _items(v, refer)},
    dict: lambda v, refer: {"d": _pack_pairs(v, refer)},
    set: lambda v, refer: {"s": _items(v, refer)},
    frozenset: lambda v, refer: {"f": _items(v, refer)},
    bytes: lambda v, refer: {"b": v.hex()},
    bytearray: lambda v, refer: {"B": v.hex()},
    complex: lambda v, refer: {"c": [v.real, v.imag]},
    range: lambda v, refer: {"r": [pack(v.start, refer), pack(v.stop, refer), pack(v.step, refer)]},
    type(...): lambda v, refer: {"e": 0},
    type: _pack_type,
    type({}.keys()): lambda v, refer: {"K": _items(v, refer)},
    type({}.values()): lambda v, refer: {"V": _items(v, refer)},
    type({}.items()): lambda v, refer: {"I": _items(v, refer)},
    collections.Counter: lambda v, refer: {"C": _pack_pairs(v, refer)},
    collections.OrderedDict: lambda v, refer: {"O": _pack_pairs(v, refer)},
    collections.defaultdict: lambda v, refer: {"D": [_pack_pairs(v, refer), pack(v.default_factory, refer)]},
    collections.deque: lambda v, refer: {"q": [_items(v, refer), v.maxlen]},
}

_RARE: dict[tuple[str, str], Callable[[Any, Refer], Any]] = {
    ("array", "array"): lambda v, refer: {"a": [v.typecode, v.tolist()]},
    ("decimal", "Decimal"): lambda v, refer: {"N": str(v)},
    ("fractions", "Fraction"): lambda v, refer: {"F": [pack(v.numerator, refer), pack(v.denominator, refer)]},
    ("datetime", "datetime"): lambda v, refer: {"T": v.isoformat()},
    ("datetime", "date"): lambda v, refer: {"A": v.isoformat()},
    ("datetime", "time"): lambda v, refer: {"M": v.isoformat()},
    ("datetime", "timedelta"): lambda v, refer: {"L": [v.days, v.seconds, v.microseconds]},
}

RARE_MODULES = frozenset(module for module, _ in _RARE)
"""Imported when a value of theirs first travels: they would make every worker slower to start, and every fork."""


def _rare(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


# A subclass of a plain type travels as that type, read by the base's own methods: what the program overrode
# (`__eq__` above all) does not travel. Only a named tuple keeps the names of its fields.
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
    (complex, lambda v: complex(complex.real.__get__(v), complex.imag.__get__(v))),
)

UNPACKERS: dict[str, Callable[[Any], Any]] = {
    "i": lambda v: int(v, 16),
    "t": tuple,
    "d": dict,
    "s": set,
    "f": frozenset,
    "b": bytes.fromhex,
    "B": bytearray.fromhex,
    "c": lambda v: complex(v[0], v[1]),
    "r": lambda v: range(*v),
    "e": lambda v: ...,
    "n": _TYPES.__getitem__,
    "K": lambda v: dict.fromkeys(v).keys(),
    "V": lambda v: dict(enumerate(v)).values(),
    "I": lambda v: dict(v).items(),
    "C": lambda v: collections.Counter(dict(v)),
    "O": collections.OrderedDict,
    "D": lambda v: collections.defaultdict(v[1], v[0]),
    "q": lambda v: collections.deque(v[0], v[1]),
    "a": lambda v: _rare("array", "array")(v[0], v[1]),
    "N": lambda v: _rare("decimal", "Decimal")(v),
    "F": lambda v: _rare("fractions", "Fraction")(v[0], v[1]),
    "T": lambda v: _rare("datetime", "datetime").fromisoformat(v),
    "A": lambda v: _rare("datetime", "date").fromisoformat(v),
    "M": lambda v: _rare("datetime", "time").fromisoformat(v),
    "L": lambda v: _rare("datetime", "timedelta")(*v),
}


def pack(value: Any, refer: Refer) -> Any:
    """The JSON form of `value`. Raises RecursionError for a value that is too deep or contains itself."""
    kind = type(value)
    packer = PACKERS.get(kind)
    if packer is not None:
        return packer(value, refer)
    if has_named_fields(kind):
        return refer(value)
    for base, plain in _BASES:
        if issubclass(kind, base):
            return PACKERS[base](plain(value), refer)
    if kind.__module__ in RARE_MODULES:
        for (module, name), packer in _RARE.items():
            if module == kind.__module__ and kind is _rare(module, name):
                PACKERS[kind] = packer
                return packer(value, refer)
    return refer(value)


def has_named_fields(kind: type) -> bool:
    """Is it a class as `collections.namedtuple` makes them?"""
    return issubclass(kind, tuple) and type(getattr(kind, "_fields", None)) is tuple


def dumps(form: Any) -> bytes:
    """JSON bytes. Lone surrogates survive, because they are not escaped."""
    return "".join(_encode(form, 0)).encode("utf-8", "surrogatepass")


def to_text(data: Data) -> str:
    return str(data, "utf-8", "surrogatepass")


def _refuse(value: Any) -> NoReturn:
    raise TypeError(f"{type(value).__name__} is no JSON")


# What JSONEncoder.encode and JSONDecoder.decode come down to. The way there takes longer than a message of usual size,
# and in a process that has just been forked each function on it costs a copied page or two.
_encode = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    *(None, _refuse, json.encoder.encode_basestring, None, ":", ",", False, False, True)  # as JSONEncoder gives them
)


def make_decoder(resolve: Callable[[str, Any], Any]) -> Callable[[Data], Any]:
    """A function from frame bytes to values; `resolve(tag, payload)` finds what a reference means. Raises WireError."""

    def unpack(form: dict[str, Any]) -> Any:
        if len(form) != 1:
            raise WireError("an object with more than one key")
        ((tag, payload),) = form.items()
        unpacker = UNPACKERS.get(tag)
        return resolve(tag, payload) if unpacker is None else unpacker(payload)

    scan = json.JSONDecoder(object_hook=unpack).scan_once  # type: ignore[attr-defined]

    def decode(data: Data) -> Any:
        try:
            text = to_text(data)
            value, end = scan(text, 0)
        except MemoryError:
            raise
        except StopIteration:
            raise WireError("not JSON") from None
        except Exception as error:
            raise WireError(f"{type(error).__name__}: {error}"[:200]) from None
        if end != len(text):
            raise WireError("more than one value")
        return value

    return decode


_DESCRIPTOR = struct.Struct("i")


def send_descriptors(sock: Socket, word: bytes, *descriptors: int) -> None:
    """One byte with the descriptors. `socket.send_fds` and its like load and write to more memory."""
    rights = b"".join(map(_DESCRIPTOR.pack, descriptors))
    sock.sendmsg([word], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])


def receive_descriptors(sock: Socket, count: int) -> tuple[bytes, list[int]]:
    """What `send_descriptors` sent; no byte if the other side is gone. Raises WireError for another number of them."""
    data, ancillary, _, _ = sock.recvmsg(1, _socket.CMSG_LEN(count * _DESCRIPTOR.size))
    if not data:
        return b"", []
    if len(ancillary) != 1 or len(ancillary[0][2]) != count * _DESCRIPTOR.size:
        raise WireError("descriptors are missing")
    return data, [descriptor for (descriptor,) in _DESCRIPTOR.iter_unpack(ancillary[0][2])]


def send_frame(sock: Socket, data: bytes) -> None:
    if len(data) < 65_536:
        sock.sendall(_HEADER.pack(len(data)) + data)
    else:
        sock.sendall(_HEADER.pack(len(data)))
        sock.sendall(data)


_LENGTH = struct.Struct(">Q")


def join(*parts: Data) -> bytes:
    """Several byte strings as one, for a single frame."""
    return b"".join((bytes([len(parts)]), *(_LENGTH.pack(len(part)) for part in parts), *parts))


def split(data: bytes) -> list[memoryview]:
    """The parts of what `join` joined."""
    view, parts, start = memoryview(data), [], 1 + data[0] * _LENGTH.size
    for (length,) in _LENGTH.iter_unpack(view[1:start]):
        parts.append(view[start : start + length])
        start += length
    return parts


def receive_frame(sock: Socket) -> bytes:
    """The next frame. Raises EOFError when the other side is gone, WireError for a frame over MAX_FRAME."""
    (size,) = _HEADER.unpack(receive_exactly(sock, _HEADER.size))
    if size > MAX_FRAME:
        raise WireError(f"a frame of {size} bytes")
    return receive_exactly(sock, size)


def receive_exactly(sock: Socket, size: int) -> bytes:
    if size <= 65_536:
        data = sock.recv(size, _socket.MSG_WAITALL) if size else b""
        if len(data) != size:
            raise EOFError
        return data
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = sock.recv_into(view)
        if not count:
            raise EOFError
        view = view[count:]
    return bytes(buffer)
