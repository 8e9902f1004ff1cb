"""Values as JSON has them, and back: amounts and dates as text, so that none is rounded. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from productive_sage.kinds import KINDS, Kind


def plain(value: Any) -> Any:
    """A value as JSON has it: an object for a dataclass, a list for a tuple, text for the rest."""
    match value:
        case Kind():
            found: Any = value.code
        case Decimal():
            found = f"{value:f}"
        case date():
            found = value.isoformat()
        case Mapping():
            found = {str(key): plain(one) for key, one in value.items()}
        case list() | tuple():
            found = [plain(one) for one in value]
        case set() | frozenset():
            found = sorted(map(plain, value))
        case _ if is_dataclass(value):
            found = {one.name: plain(getattr(value, one.name)) for one in fields(value)}
        case _:
            found = value
    return found


def value_of(kind: Any, content: Any) -> Any:
    """The value of a type that `plain` gave `content` for.

    Raises KeyError, TypeError or ValueError where it did not.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        is_none = content is None and NoneType in args
        return None if is_none else value_of(next(o for o in args if o is not NoneType), content)
    if origin is tuple:
        kinds = [args[0]] * len(content) if args[-1] is Ellipsis else args
        return tuple(value_of(*pair) for pair in zip(kinds, content, strict=True))
    if is_dataclass(kind) and kind is not Kind:
        hints = get_type_hints(kind)
        values = {name: value_of(hints[name], one) for name, one in content.items()}
        return kind(**values) if isinstance(kind, type) else None
    return _READ.get(kind, lambda one: one)(content)


def _amount(content: Any) -> Decimal:
    amount = Decimal(_a(str)(content))
    if not amount.is_finite():
        raise ValueError(content)
    return amount


def _a(kind: type) -> Callable[[Any], Any]:
    def checked(content: Any) -> Any:
        if type(content) is not kind:
            raise TypeError(content)
        return content

    return checked


_READ: dict[Any, Callable[[Any], Any]] = {
    Kind: KINDS.__getitem__,
    Decimal: _amount,
    date: date.fromisoformat,
    datetime: datetime.fromisoformat,
    **{kind: _a(kind) for kind in (str, int, bool)},
}
