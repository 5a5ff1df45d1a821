"""What decides a run's rows, derived from the fields of its spec.

A field is opted out where it is defined (`compare=False`), never opted in: what is forgotten costs
a miss, not a wrong hit. A class may have `SEMANTICS`, numbers that are raised by hand when the same
values would give other rows.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any


def keyed(value: Any) -> Any:
    """A value of a spec as JSON.

    Raises:
        TypeError: it is of no kind that a key can hold.

    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [keyed(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): keyed(item) for name, item in value.items()}
    if hasattr(value, "key"):
        return value.key()
    if is_dataclass(value):
        return fields_of(value)
    raise TypeError(f"a {type(value).__name__} in a key")


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that decide rows, and its semantics."""
    semantics = getattr(value, "SEMANTICS", None)
    found = {} if semantics is None else {"semantics": keyed(semantics)}
    kept = (field.name for field in fields(value) if field.compare)
    return found | {name: keyed(getattr(value, name)) for name in kept}


def parts_of(value: Any, kind: type[Any]) -> list[Any]:
    """Every instance of a class in a spec, in order of the fields."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, list | tuple):
        return [part for item in value for part in parts_of(item, kind)]
    if is_dataclass(value):
        inside = (getattr(value, field.name) for field in fields(value))
        return [part for item in inside for part in parts_of(item, kind)]
    return []
