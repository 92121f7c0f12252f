"""Exceptions on both sides of the border: real classes here that stand for the other side's.

`except`, `isinstance` and `raise` need real classes. A stand-in has the name and the ancestors of the class that it
stands for; attributes that it lacks are asked of the other side.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any, cast

from .origin import Origin

if TYPE_CHECKING:
    from .remote import Remote

NAME_LIMIT = 100

_LIBRARY = frozenset(
    {"binascii", "configparser", "csv", "decimal", "json.decoder", "queue", "re", "statistics", "struct", "zlib"}
)
"""Modules whose exceptions stand for themselves. Not every module's: `unittest.SkipTest` would skip the checks."""


class StandIn(type):
    """Class of the classes that stand for exception classes of the other side."""

    remote: Remote

    def __getattr__(cls, name: str) -> Any:
        return _ask(cls.__dict__.get("remote"), name)


def stand_in(name: str, module: str, bases: list[Any], remote: Remote) -> type[BaseException]:
    """A class for `remote`, an exception class of the other side. All arguments may be lies."""
    classes = tuple(base for base in bases if is_exception_class(base))
    if module in _LIBRARY and module in sys.modules:
        own = getattr(sys.modules[module], name, None)
        if is_exception_class(own):
            classes = (own,)
    members: dict[str, Any] = {"remote": remote, "__module__": module[:NAME_LIMIT], "__getattr__": _attribute}
    members["__str__"] = _message
    made: Any
    try:
        made = StandIn(readable_name(name), classes or (Exception,), members)
    except TypeError:  # ancestors that do not go together
        made = StandIn(readable_name(name), (Exception,), members)
    return cast("type[BaseException]", made)


def readable_name(name: str) -> str:
    """A class's name, if it is one: it ends up in reports."""
    return name if name.isidentifier() and len(name) <= NAME_LIMIT else "Exception"


def make_exception(kind: Any, arguments: Any, origin: Origin, remote: Remote | None) -> BaseException:
    """An exception that the other side told of. `remote` is the one that it stands for."""
    if not is_exception_class(kind):
        kind = Exception
    if not issubclass(kind, Exception):
        # KeyboardInterrupt and its like must not stop the checks' own process on the way.
        kind = type(kind.__name__, (Exception,), {"__str__": _message})
    error = _instance(kind, arguments if type(arguments) is tuple else ()) or Exception(origin.message)
    error.codedistill_origin = origin  # type: ignore[attr-defined]
    error.codedistill_remote = remote  # type: ignore[attr-defined]
    return error


def _instance(kind: Any, arguments: tuple[Any, ...]) -> BaseException | None:
    with contextlib.suppress(Exception):
        return kind(*arguments)
    with contextlib.suppress(Exception):  # its own class takes something else than what it hands on to its base
        error = kind.__new__(kind)
        error.args = arguments
        return error
    return None


def is_exception_class(value: Any) -> bool:
    return issubclass(type(value), type) and issubclass(value, BaseException)


def origin_of(error: BaseException) -> Origin | None:
    """What the other side told of the exception; None for one of this side."""
    origin = error.__dict__.get("codedistill_origin")
    return origin if isinstance(origin, Origin) else None


def remote_of(error: BaseException) -> Remote | None:
    """The other side's exception that this one stands for."""
    return error.__dict__.get("codedistill_remote")


def _attribute(error: BaseException, name: str) -> Any:
    return _ask(remote_of(error), name)


def _ask(remote: Remote | None, name: str) -> Any:
    if remote is None or name.startswith("__"):
        raise AttributeError(name)
    return getattr(remote, name)


def _message(error: BaseException) -> str:
    origin = origin_of(error)
    return BaseException.__str__(error) if origin is None else origin.message
