"""`backup`, `restore` and `rebuild`: psage's own records, kept, put back, and made again."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from productive_sage.cli.common import DryRun, Json, Stopped, end, of_profile, output
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
        if current.can_ask and not yes:
            kept = " What is there now is kept beside it." if replaced else ""
            asking.say(
                f"The backup of {whose}{made.made_at.astimezone():%Y-%m-%d %H:%M} holds "
                f"{made.in_words}.{kept}"
            )
        asking.confirm(f"Put it back{of_profile()}?", yes=yes, can_ask=current.can_ask)
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


class _NotKept(Exception):
    """What was found is not recorded."""


def rebuild(yes: Yes = False, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Make lost records again from psage's markers in both services; neither is written to.

    What is found is shown first. What is recorded already is neither changed nor removed.

    Example: psage rebuild
    """
    from productive_sage import rebuild as rebuilding
    from productive_sage.terminal import rebuilt

    stopped = Stopped()
    with (
        suppress(_NotKept),
        current.desk(lambda _settings: None, dry_run=False, read_only=True) as desk,
        desk.store.db.write(),  # what is shown is what is committed, or none of it
    ):
        found = rebuilding.rebuild(desk)
        if not as_json:
            with output():
                rebuilt.show(found, quiet=current.quiet)
        with stopped:
            if found.is_anything and not dry_run:
                question = f"Put this into psage's records{of_profile()}?"
                asking.confirm(question, yes=yes, can_ask=current.can_ask)
        if stopped.error or dry_run:
            raise _NotKept  # and the transaction is rolled back
    is_kept = found.is_anything and not stopped.error and not dry_run

    def show() -> None:
        if is_kept and not current.quiet:
            asking.say("Recorded. No service was written to.")

    end(
        show,
        lambda: {**rebuilt.as_json(found), "recorded": is_kept},
        as_json=as_json,
        error=stopped.error,
        dry_run=dry_run,
    )
