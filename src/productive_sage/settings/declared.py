"""What is declared of a setting: where it stands, what it may hold, how it is asked and told."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from productive_sage.settings import allowed

if TYPE_CHECKING:
    from productive_sage.settings import Settings


Holds = Literal[
    "word",
    "yes or no",
    "date",
    "account",
    "tax rate",
    "items",
    "decimals",
    "taxes",
    "template",
    "other",
]
"""What a value is: how a flag and the wizard read it. `other` is set in the file alone."""


Check = Callable[[str, Any], str | None]
"""Given a key and a value of the file, or of a table: what it must be, None where it is."""


Tell = Callable[["Settings", Mapping[str, str], Mapping[str, str]], Iterator[str]]
"""Given the settings, names by key, and where each comes from: its sentences."""


@dataclass(frozen=True, slots=True)
class Word:
    """A value that is allowed, how it reads, and what it means."""

    value: Any
    label: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """How `psage configure` takes a setting; the words that are allowed follow the help."""

    name: str
    metavar: str
    help: str


@dataclass(frozen=True, slots=True)
class Asked:
    """How the wizard asks for a setting."""

    topic: str
    """One step of the walk."""
    title: str
    why: str
    only_if: tuple[str, Any] | None = None
    """Asked where another setting has this value."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: a key of the file, or a table of it."""

    key: str
    holds: Holds
    check: Check
    words: tuple[Word, ...]
    flag: Flag | None
    """None where the file alone sets it."""
    asked: Asked | None
    told: tuple[str, Tell] | str
    """The subject and the sentences, or the key of the setting in whose sentence it is told."""
    is_table: bool
    path: tuple[str, ...]
    """Where it stands in the file: its key alone, or the names of a table within another."""

    @property
    def name(self) -> str:
        """How it is named in the file."""
        return ".".join(self.path)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The words that may be given, where these are all."""
        return tuple(word.value for word in self.words if isinstance(word.value, str))


def setting(
    holds: Holds,
    *,
    default: Any,
    told: tuple[str, Tell] | str,
    check: Check | None = None,
    words: tuple[Word, ...] = (),
    flag: Flag | None = None,
    asked: Asked | None = None,
    path: tuple[str, ...] = (),
) -> Any:
    """A field of `Settings`; a `default` that is a class is that of a table.

    `path` is where a table stands that is not at the top; every other setting stands there.
    """
    if path and not isinstance(default, type):
        raise TypeError("only a table may stand within another: leave `path` out")
    declared = {
        "holds": holds,
        "check": check or allowed.one_of(words),
        "words": words,
        "flag": flag,
        "asked": asked,
        "told": told,
        "is_table": isinstance(default, type),
        "path": path,
    }
    if isinstance(default, type):
        return field(default_factory=default, metadata=declared)
    return field(default=default, metadata=declared)
