"""`psage help TOPIC`: what an installed program can tell offline; the texts are in `topics/`."""

import re
import shutil
import textwrap
from pathlib import Path

from productive_sage import naming
from productive_sage.errors import UsageProblem

_FOLDER = Path(__file__).parent.parent / "topics"
_ALSO = {
    "backup": "moving",
    "computers": "several-computers",
    "keyring": "servers",
    "number": "numbers",
    "night": "cron",
    "payment": "payments",
    "plan": "plans",
    "tax": "taxes",
    "uninstall": "removal",
    "upgrade": "removal",
}
"""Other words that people try."""
_WIDEST = 80
_HELD = "\N{NO-BREAK SPACE}"
"""A space in a command, at which no line ends."""


def titles() -> dict[str, str]:
    """What each topic is about, by its name."""
    return {file.stem: _read(file)[0] for file in sorted(_FOLDER.glob("*.txt"))}


def text(word: str, commands: list[str]) -> str:
    """A topic as it is shown: its title, then paragraphs no wider than the terminal.

    Raises UsageProblem, naming the nearest, for a word that is neither topic nor one of `commands`.
    """
    name = word.strip().lower().replace("_", "-")
    file = _FOLDER / f"{_ALSO.get(name, name)}.txt"
    known = [*titles(), *_ALSO, *commands]
    if file.stem not in known:
        raise UsageProblem(
            f"there is neither a command nor a topic `{word}`",
            hint=naming.did_you_mean(name, known) or "`psage help` lists both",
        )
    title, body = _read(file)
    return "\n\n".join(map(_fitted, [title, *body.strip("\n").split("\n\n")]))


def _read(file: Path) -> tuple[str, str]:
    title, _, body = file.read_text(encoding="utf-8").partition("\n")
    return title, body


def _fitted(paragraph: str) -> str:
    """A paragraph in lines of whole words; what is indented, such as a command, stays as it is."""
    if paragraph.startswith("  "):
        return paragraph
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    words = re.sub(
        r"`[^`]+`", lambda command: command[0].replace(" ", _HELD), " ".join(paragraph.split())
    )
    return textwrap.fill(words, width, break_long_words=False, break_on_hyphens=False).replace(
        _HELD, " "
    )
