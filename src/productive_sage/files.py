"""Files that are for their owner alone, and put in place in one step."""

import os
from pathlib import Path

from productive_sage.errors import UsageProblem


def put(path: Path, content: bytes, *, mode: int = 0o600, lasts: bool = True) -> None:
    """Write beside the file, then rename: a crash leaves the old file or the new one.

    A link in its place is replaced, not followed. What need not outlive a power cut is not waited
    for. Raises OSError.
    """
    import tempfile  # here, since `status` writes nothing and is in a hurry

    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600, and new
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if lasts:
                os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def check_writable(path: Path, what: str) -> None:
    """Raises UsageProblem where a file somebody named cannot be written; `what` it is to be."""
    is_new = not path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
        if is_new:
            path.unlink()
    except OSError as error:
        raise UsageProblem(
            f"the {what} `{path}` cannot be written: {error.strerror}",
            hint="name a file in a folder that is there and may be written to",
        ) from error
