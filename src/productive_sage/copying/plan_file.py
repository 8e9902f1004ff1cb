"""The file of a saved plan: JSON with a checksum, for its owner alone."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from productive_sage import files
from productive_sage.copying.saved import SavedPlan, as_json, from_json
from productive_sage.errors import HomeUnusable, PsageError, UsageProblem

FORMAT = 1
_FORMAT, _SUM = "psage_plan", "sha256"


def check_place(path: Path) -> None:
    """Raises UsageProblem where a plan cannot be put, before anything is read for it.

    An earlier plan is replaced, and no other file.
    """
    if path.exists() and path.stat().st_size and not _is_plan(path):
        raise UsageProblem(
            f"`{path}` is there, and is no plan", hint="name another file; psage overwrites none"
        )
    files.check_writable(path, "plan")


def _is_plan(path: Path) -> bool:
    try:
        return _FORMAT in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def write(path: Path, saved: SavedPlan) -> None:
    """Put a plan into a file, whole or not at all. Raises HomeUnusable."""
    content = as_json(saved)
    document = {_FORMAT: FORMAT, _SUM: _sum(content), **content}
    try:
        files.put(path, f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode())
    except OSError as error:
        raise HomeUnusable(
            f"the plan `{path}` could not be written: {error.strerror}",
            hint="nothing was sent; name another file",
        ) from error


def read(path: Path) -> SavedPlan:
    """The plan in a file. Raises `plan_invalid` for one that is none, or is not as it was made."""
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise _invalid(f"the plan `{path}` cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(f"`{path}` is no plan of psage, or was cut short") from error
    if not isinstance(document, dict) or _FORMAT not in document:
        raise _invalid(f"`{path}` is no plan of psage")
    if document.pop(_FORMAT) != FORMAT:
        raise _invalid(f"the plan `{path}` was made by another version of psage")
    if document.pop(_SUM, None) != _sum(document):
        raise _invalid(f"the plan `{path}` was changed since it was made")
    try:
        return from_json(document)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise _invalid(f"the plan `{path}` was made by another version of psage") from error


def _sum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _invalid(said: str) -> PsageError:
    return PsageError(
        said,
        code="plan_invalid",
        hint="make one with `--plan FILE` (copy-invoice, credit-note), and leave the file as it is",
    )
