"""What became of a batch, as a file: written at the end, and read again to retry what failed."""

import codecs
import csv
import io
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
    """Raises UsageProblem where a report cannot be written, before anything is sent.

    An earlier report is replaced, and no other file.
    """
    _is_sheet(path)
    files.check_writable(path, "report")
    if path.exists() and path.stat().st_size and not _is_report(path):
        raise UsageProblem(
            f"`{path}` is there, and is no report of psage",
            hint="name another file; psage overwrites none",
        )


def _is_report(path: Path) -> bool:
    try:
        failed_in(path)
    except UsageProblem:
        return False
    return True


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


def failed_in(path: Path) -> list[tuple[str, str]]:
    """Id and number of what failed by a report, each once; no id where it could not be read.

    Raises UsageProblem for what is no report.
    """
    hint = "name a file that `--report` wrote"
    try:
        content = path.read_bytes()
        rows = _rows(content) if _is_sheet(path) else json.loads(content)["results"]
        found = [
            (str(row["productive_id"] or ""), str(row["number"] or ""))
            for row in rows
            if row["action"] in _FAILED
        ]
    except OSError as error:
        said = f"the report `{path}` cannot be read: {error.strerror}"
        raise UsageProblem(said, hint=hint) from error
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise UsageProblem(f"`{path}` is no report of psage", hint=hint) from error
    return list(dict.fromkeys(found))


def _rows(content: bytes) -> list[dict[str, str]]:
    """The rows of a sheet, also of one that a spreadsheet program saved in its own way.

    These part the cells by what their country is used to, and write other letters than psage.
    """
    text = _decoded(content)
    heads = text.partition("\n")[0]
    parted = max(",;\t", key=heads.count)
    names, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=parted)
    names.index("action")
    return [dict(zip(names, row, strict=True)) for row in rows if any(row)]


def _decoded(content: bytes) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252")


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
