"""Whether an answer is of the documented shape, and where it says why something was refused."""

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from productive_sage.errors import ServiceUnavailable
from productive_sage.text import quoted

ODD = (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError)
"""What goes wrong where JSON is not of the documented shape."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def understood(read: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a read raise ServiceUnavailable where the answer is not of the documented shape.

    What of it is not reading, such as the asking itself, is `ours`.
    """

    @functools.wraps(read)
    def checked(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(*args, **kwargs)
        except ODD as error:
            raise ServiceUnavailable(
                f"an answer of {getattr(args[0], 'service', 'the service')} is not what its "
                f"documentation says ({type(error).__name__}: {quoted(str(error), 200)})",
                hint="try again; if it stays so, report it to psage",
            ) from error

    return checked


@contextmanager
def ours(what: str) -> Iterator[None]:
    """Tell a defect in here from an answer of an odd shape: it is raised as RuntimeError."""
    try:
        yield
    except ODD as defect:
        raise RuntimeError(f"{what}: {defect!r}") from defect


def reasons(document: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that say why something was refused: in an array, alone, or under `errors`.

    What a plain text says, or a map of fields of each, is told as a `message` with its `source`.
    """
    if isinstance(document, str):
        yield {"message": document}
    elif isinstance(document, list):
        for one in document:
            yield from reasons(one)
    elif isinstance(document, dict):
        yield document
        inner = document.get("errors", document.get("error"))
        if isinstance(inner, dict) and all(isinstance(said, list) for said in inner.values()):
            inner = [{"message": one, "source": key} for key, said in inner.items() for one in said]
        if "errors" in document or isinstance(inner, (dict, list)):
            yield from reasons(inner)
