"""What became of a batch, as a file: written at the end, and read again to retry what failed."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from productive_sage import files
from productive_sage.copying.records import Outcome
from productive_sage.errors import HomeUnusable, UsageProblem
from productive_sage.terminal import copies, tables

_FAILED = frozenset(("refused", "failed", "unknown"))
_HEADS = (
    *("number", "productive_id", "kind", "action", "sage_number", "sage_id", "customer"),
    *("net", "tax", "total", "currency", "warnings", "error_code", "error", "next_step"),
)


def check(path: Path) -> None:
    """Raises UsageProblem where a report cannot be written, before anything is sent."""
    _is_sheet(path)
    is_new = not path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
        if is_new:
            path.unlink()
    except OSError as error:
        raise UsageProblem(
            f"the report `{path}` cannot be written: {error.strerror}",
            hint="name a file in a folder that is there and may be written to",
        ) from error


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write every outcome, in the form that the file's ending says.

    Raises HomeUnusable where the disk does not take it.
    """
    if _is_sheet(path):
        text = "\ufeff" + tables.as_csv(_HEADS, map(_row, outcomes))
    else:
        text = json.dumps(copies.as_json(outcomes), indent=2) + "\n"
    try:
        files.put(path, text.encode())
    except OSError as error:
        raise HomeUnusable(
            f"the report `{path}` could not be written: {error.strerror}",
            hint="what was copied is recorded; `psage list` shows it",
        ) from error


def failed_in(path: Path) -> tuple[str, ...]:
    """The Productive ids of what failed by a report. Raises UsageProblem for what is none."""
    import csv

    hint = "name a file that `--report` wrote"
    try:
        text = path.read_text(encoding="utf-8-sig")
        if _is_sheet(path):
            heads, *cells = csv.reader(text.splitlines()) or [[]]
            rows = [dict(zip(heads, row, strict=True)) for row in cells]
            heads.index("action")
        else:
            rows = json.loads(text)["results"]
        found = [row["productive_id"] for row in rows if row["action"] in _FAILED]
    except OSError as error:
        said = f"the report `{path}` cannot be read: {error.strerror}"
        raise UsageProblem(said, hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageProblem(f"`{path}` is no report of psage", hint=hint) from error
    return tuple(dict.fromkeys(filter(None, found)))


def _is_sheet(path: Path) -> bool:
    """Whether a report is a sheet, not JSON, by its ending. Raises UsageProblem for another."""
    ending = path.suffix.lower()
    if ending not in (".csv", ".json"):
        raise UsageProblem(
            f"`{path}` ends neither in .csv nor in .json",
            hint="the ending says how the report is written",
        )
    return ending == ".csv"


def _row(outcome: Outcome) -> list[Any]:
    error, customer = outcome.error, outcome.customer
    return [
        outcome.number,
        outcome.productive_id,
        outcome.kind.code,
        outcome.action,
        copies.sage_number(outcome),
        outcome.sage_id or "",
        customer.name if customer else "",
        *("" if one is None else one for one in (outcome.net, outcome.tax, outcome.total)),
        outcome.currency or "",
        "; ".join(notice.message for notice in outcome.notices),
        *((error.code, error.message, error.hint or "") if error else ("", "", "")),
    ]
