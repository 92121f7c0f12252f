"""`inspect.signature` of functions of the other process.

`inspect` is loaded where it is needed, which is rare: it is larger than all else that a worker loads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import inspect


def tell_signature(target: Any) -> list[Any]:
    """What `read_signature` reads: the annotation of the result, and of each parameter name, kind, default, annotation.

    A list stands for a default or an annotation: it is empty where there is none.
    """
    import inspect

    def given(value: Any) -> list[Any]:
        return [] if value is inspect.Parameter.empty else [value]

    signature = inspect.signature(target)
    parameters = [
        [each.name, int(each.kind), given(each.default), given(each.annotation)]
        for each in signature.parameters.values()
    ]
    return [given(signature.return_annotation), parameters]


def read_signature(told: Any) -> inspect.Signature:
    """Raises TypeError or ValueError where `told` is no signature."""
    import inspect

    def value(given: list[Any]) -> Any:
        return given[0] if given else inspect.Parameter.empty

    result, parameters = told
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect._ParameterKind(kind), default=value(default), annotation=value(note))
            for name, kind, default, note in parameters
        ],
        return_annotation=value(result),
    )
