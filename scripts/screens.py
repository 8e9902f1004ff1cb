"""What psage shows on a real terminal, run against its sandbox: golden screens and pictures.

`screens.py golden` renews tests/golden/screens, `screens.py pictures` renews docs/pictures; with
`--check` each says what differs instead, and ends with 1. What changes from run to run (the day,
times, ports, the folder) is replaced by something of the same length, so that no line moves.
"""

import io
import os
import re
import shutil
import socket
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pexpect

from productive_sage.sandbox import CLIENT_ID, ORGANIZATION_ID, Sandbox, screen
from productive_sage.sandbox.run import environment

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden" / "screens"
PICTURES = ROOT / "docs" / "pictures"
WIDTHS = (120, 80, 60, 40)
PICTURE_WIDTH = 100

Lines = list[str]

_HOME = "/home/anna/accounts"  # as long as the folder it stands for
_ESCAPE = re.compile(r"\x1b\][^\x1b\x07]*(?:\x1b\\|\x07)|\x1b\[[0-9;?]*[A-Za-z]")
_COPIED = ("INV-2026-023", "INV-2026-001", "INV-2026-005", "INV-2026-004", "102")
SCENE = {
    "help": ("--help",),
    "dry-run": ("copy-invoice", "INV-2026-023", "--tax-rate", "Standard", "--dry-run"),
    "copy": ("copy-invoice", *_COPIED, "--tax-rate", "Standard"),
    "refusal": ("copy-invoice", "INV-2026-023"),
    "register": ("list", "--month", "2026-02"),
    "status": ("status",),
    # Of one document each: in what order those of a batch are told is not the same every time.
    "history": ("history", "--document", "INV-2026-001"),
    "history-large": ("history", "--document", "INV-2026-005"),
    "history-refused": ("history", "--document", "INV-2026-004"),
    "settings": ("configure", "--show"),
    "doctor": ("doctor",),
}
"""The main screens, in an order in which each finds what it needs."""


# --- a signed-in psage of its own


@contextmanager
def _place() -> Iterator[dict[str, str]]:
    """The environment of a psage that is signed in to a sandbox of its own, and configured."""
    folder = Path(tempfile.mkdtemp(prefix="psage-", dir="/tmp"))
    try:
        with Sandbox(limits=100) as sandbox:
            kept = {"PATH": os.environ["PATH"], "TZ": "UTC", "TERM": "xterm-256color"}
            variables = {**kept, "PYTHONUTF8": "1", "HOME": str(folder), "LOGNAME": "anna"}
            variables["TODAY"] = str(date.today())  # noqa: DTZ011 - as psage shows it
            variables |= environment(sandbox, folder)
            _run(variables, "connect", "productive", "--organization-id", ORGANIZATION_ID)
            _run(
                variables,
                *(
                    "connect",
                    "sage",
                    "--client-id",
                    CLIENT_ID,
                    "--no-browser",
                    "--port",
                    _free_port(),
                ),
                *("--business", "Harbour & Pine Ltd"),
            )
            _run(variables, "configure", "--default-ledger", "4010")
            yield variables
    finally:
        shutil.rmtree(folder)


def _run(variables: dict[str, str], *args: str) -> None:
    def see(line: str) -> None:
        if line.strip().startswith("http"):
            threading.Thread(target=_allow, args=(line.strip(),), daemon=True).start()

    code, lines = screen.run(args, variables, see=see)
    if code:
        raise SystemExit("\n".join([f"psage {' '.join(args)} ended with {code}", *lines]))


def _allow(address: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}&consent=allow", timeout=10):
        pass


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _settled(text: str, variables: dict[str, str]) -> str:
    """The text with all that differs from run to run replaced, each by as many characters."""
    text = text.replace(str(Path(variables["PSAGE_HOME"]).parent), _HOME)
    text = re.sub(r"127\.0\.0\.1:\d{5}", "127.0.0.1:41000", text)
    today, shown = date.fromisoformat(variables["TODAY"]), date(2027, 3, 31)
    for later in map(timedelta, range(41)):  # a sign-in ends in a month
        text = text.replace(str(today + later), str(shown + later))
    text = text.replace(f"{today.day:>2} {today:%b} ", f"{shown:%d %b} ")
    text = re.sub(r"sandbox-\d{6}", "sandbox-000042", text)
    return re.sub(r"\b\d\d:\d\d(:\d\d)?\b", lambda m: "09:00:00"[: len(m[0])], text)


# --- golden screens


def golden(columns: int) -> dict[str, str]:
    """The main screens at a width, in plain text."""
    shown = {}
    with _place() as variables:
        for name, args in SCENE.items():
            _, lines = screen.run(args, {**variables, "NO_COLOR": "1"}, columns=columns)
            plain = (_ESCAPE.sub("", line).rstrip() for line in lines)
            command = f"$ psage {' '.join(args)}"
            shown[name] = _settled("\n".join([command, *plain, ""]), variables)
    return shown


def golden_file(name: str, columns: int) -> Path:
    """Where a golden screen is kept."""
    return GOLDEN / f"{name}-{columns}.txt"


# --- pictures


def pictures() -> dict[str, str]:
    """The pictures of the README by their names, as SVG."""
    with _place() as variables:
        wizard = _wizard(variables)
        copied = _shown(variables, "copy-invoice", *_COPIED[:3], "102", "--tax-rate", "Standard")
        register = _shown(variables, "list", "--month", "2026-02")
    found = {}
    for name, lines in {"copy": copied, "wizard": wizard, "register": register}.items():
        text = _settled("\n".join(lines), variables)
        for shade in ("light", "dark"):
            found[f"{name}-{shade}.svg"] = _drawn(text, f"psage-{name}-{shade}", shade)
    return found


def _shown(variables: dict[str, str], *args: str) -> Lines:
    _, lines = screen.run(args, variables, columns=PICTURE_WIDTH)
    return [f"\x1b[1m$ psage {' '.join(args)}\x1b[0m", *lines]


def _wizard(variables: dict[str, str]) -> Lines:
    """The first questions of `psage configure`, answered by a person."""
    child: Any = pexpect.spawn(
        sys.executable,
        ["-m", "productive_sage", "configure"],
        dimensions=(50, PICTURE_WIDTH),
        encoding="utf-8",
        env=variables,
        timeout=30,
    )
    seen = child.logfile_read = io.StringIO()
    child.delaybeforesend = None
    for answer in ("2", "1", "1"):
        child.expect(r"Answer: ")
        child.sendline(answer)
    child.expect(r"Answer: ")
    child.close(force=True)
    lines = screen.left(seen.getvalue().replace("\r\n", "\n"))
    return ["\x1b[1m$ psage configure\x1b[0m", *lines]


_FRAME = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; \
font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""As rich's own, but it fetches no fonts."""


def _drawn(text: str, name: str, shade: str) -> str:
    """What a terminal showed, as a picture that holds its text."""
    from rich import terminal_theme
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=PICTURE_WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text), soft_wrap=True)
    light, dark = terminal_theme.DEFAULT_TERMINAL_THEME, terminal_theme.SVG_EXPORT_THEME
    drawn = console.export_svg(
        title="psage",
        theme=light if shade == "light" else dark,
        code_format=_FRAME,
        unique_id=name,
    )
    return "".join(f"{line.rstrip()}\n" for line in drawn.splitlines())


# --- the command


def main() -> int:
    """Renew or check what is named; gives the exit code."""
    wanted: dict[Path, str] = {}
    if "pictures" in sys.argv:
        wanted |= {PICTURES / name: text for name, text in pictures().items()}
    if "golden" in sys.argv:
        for columns in WIDTHS:
            shown = golden(columns)
            wanted |= {golden_file(name, columns): text for name, text in shown.items()}
    if not wanted:
        raise SystemExit("name what to renew: golden, pictures")
    differing = [
        file
        for file, text in wanted.items()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    ]
    for file in differing:
        print(file.relative_to(ROOT))
        if "--check" not in sys.argv:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(wanted[file], encoding="utf-8")
    return 1 if differing and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
