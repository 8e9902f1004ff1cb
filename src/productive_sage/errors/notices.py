"""What is said beside a result that is none of an error."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know although the document went through."""

    code: str
    message: str
