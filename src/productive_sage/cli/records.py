"""`backup` and `restore`: psage's own records, kept and put back."""

from pathlib import Path
from typing import Annotated

import typer

from productive_sage.cli.common import Json, end, of_profile
from productive_sage.cli.session import current
from productive_sage.terminal import asking

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Replace the file where it exists.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Put the profile's records and settings into one file.

    Sign-ins are in the system's keyring, and not in it. PDFs are not in it either.

    Example: psage backup psage-2026-03.zip
    """
    from productive_sage.setup import backup as backups
    from productive_sage.terminal import render

    home = current.home_as_it_is(current.profile)
    render.name_profile(home.profile)
    if file.is_file():
        asking.confirm(f"Replace `{file}`?", yes=yes, can_ask=current.can_ask)
    made = backups.make(home, file)
    size = file.stat().st_size

    def show() -> None:
        if not current.quiet:
            render.line(f"Wrote {file}: {made.in_words}{of_profile()}; no sign-ins")

    end(
        show,
        lambda: {"file": str(file), "bytes": size, "backup": made.facts},
        as_json=as_json,
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `psage backup` wrote.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put the records and settings of a backup back.

    What they replace is kept beside them. On a new machine, sign in afterwards: `psage connect`.

    Example: psage restore psage-2026-03.zip
    """
    from productive_sage.setup import backup as backups
    from productive_sage.terminal import render

    made = backups.read(file)
    home = current.home()
    replaced = backups.replaces(home, made)
    if replaced or made.profile != home.profile:
        whose = f"profile `{made.profile}`, " if made.profile != home.profile else ""
        asking.confirm(
            f"Put back what {whose}{made.made_at.astimezone():%Y-%m-%d %H:%M} had"
            f"{of_profile()}: {made.in_words}?"
            + (" What is there now is kept beside it." if replaced else ""),
            yes=yes,
            can_ask=current.can_ask,
        )
    with current.run_lock(home):
        done = backups.restore(home, made, file)

    def show() -> None:
        if not current.quiet:
            when = f"{made.made_at.astimezone():%Y-%m-%d %H:%M}"
            render.line(f"Put back from {when}: {made.in_words}{of_profile()}")
            for path in done.kept:
                render.line(f"Kept what was there before: {path}")

    end(
        show,
        lambda: {
            "file": str(file),
            "backup": made.facts,
            "restored": [str(path) for path in done.written],
            "kept": [str(path) for path in done.kept],
        },
        as_json=as_json,
    )
    if not as_json and not current.quiet:
        asking.say(
            render.named(
                "Sign-ins are not in a backup: on a new machine run `psage connect`. What was "
                "copied since is found in Sage when it is needed; `psage reconcile` shows it."
            )
        )
