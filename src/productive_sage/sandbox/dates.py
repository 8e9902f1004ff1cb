"""Calendar dates as text: the only form in which the services hold them."""

from __future__ import annotations

from datetime import date, timedelta


def is_date(text: object) -> bool:
    """Say whether this is a plain calendar date, `YYYY-MM-DD`."""
    if not isinstance(text, str) or len(text) != len("2026-01-31"):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def days_after(day: str, days: int) -> str:
    """Add days to a calendar date."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
