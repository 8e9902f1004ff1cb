"""PDFs as files: what a person hands over, what lies in the folder, and what psage keeps there."""

import re
from pathlib import Path

from productive_sage import files
from productive_sage.config import storage_error
from productive_sage.errors import (
    Refused,
    ServiceUnavailable,
    UsageProblem,
)
from productive_sage.sage.pdfs import PDF_LIMIT

_NAME_BYTES = 120
"""Of a number in a file name: a file system takes 255 in all."""


def read_pdf(path: Path) -> bytes:
    """The content of a PDF file. Raises UsageProblem where Sage could not take it."""
    try:
        if not path.is_file():
            raise UsageProblem(
                f"there is no file `{path}`",
                hint="look at the name, or drag the file into the terminal to have it typed",
            )
        size = path.stat().st_size
        content = path.read_bytes() if size <= PDF_LIMIT else b""
    except OSError as error:
        raise UsageProblem(f"`{path}` cannot be read: {error.strerror}") from error
    if size > PDF_LIMIT:
        raise UsageProblem(
            f"`{path}` has {size} bytes, and Sage takes {PDF_LIMIT} at most",
            hint="make it smaller, or leave it out with `--no-pdf`",
        )
    if not content.startswith(b"%PDF"):
        raise UsageProblem(
            f"`{path}` is not a PDF",
            hint="name the PDF file itself, as it was saved from Productive",
        )
    return content


def named_after(folder: Path, number: str) -> list[Path]:
    """The PDF files of a folder whose name holds a document's number as a word of its own.

    `INV-2` is not in `INV-21`, `INV-2-1` or `UK-INV-2`, which are other numbers, but in
    `Acme_INV-2.pdf` and `invoice-INV-2.pdf`. A sign that no file can have in its name, such as the
    one in `2026/7`, may be another there. What psage keeps there itself is Sage's.
    """
    if not number:
        return []
    inner = r"[\W_]+".join(map(re.escape, re.split(r"[^\w.+-]+", number)))
    before = r"(?:(?<![^\W_])(?<![.+-])|(?<=\binvoice-)|(?<=\bcredit-note-))"
    word = re.compile(rf"{before}{inner}(?![^\W_]|[.+-]+[^\W_])", re.IGNORECASE)
    try:
        files = [one for one in folder.iterdir() if one.suffix.lower() == ".pdf"]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, folder) from error
    return sorted(
        one for one in files if word.search(one.stem) and not re.search(r"\(PRD-.+\)$", one.stem)
    )


def check(content: bytes) -> None:
    """Raises ServiceUnavailable for what is no PDF, Refused for one that is too large."""
    if not content.startswith(b"%PDF"):
        raise ServiceUnavailable("what arrived is not a PDF")
    if len(content) > PDF_LIMIT:
        raise Refused(f"it has {len(content)} bytes, and Sage takes {PDF_LIMIT} at most")


def file_name(number: str, marker: str) -> str:
    """A name that is safe on every system and tells psage's own file: `INV-7 (PRD-123).pdf`."""
    safe, mark = (re.sub(r"[^\w.+-]+", "-", word).strip(".-") for word in (number, marker))
    short = safe.encode()[:_NAME_BYTES].decode(errors="ignore")
    return f"{short} ({mark}).pdf".strip()


def save(path: Path, content: bytes) -> None:
    """Put a file in place in one step, in a folder for this user alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.put(path, content)
    except OSError as error:
        raise storage_error(error, path) from error
