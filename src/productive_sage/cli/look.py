"""What shows and changes no book: `list`, `open`, `customers`, `history`, `status`, `doctor`."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from productive_sage.cli.common import (
    Json,
    Naming,
    a_day,
    a_period,
    end,
    exclude,
    offered,
    output,
    stdout_aside,
    with_groups,
)
from productive_sage.cli.session import current, warn
from productive_sage.errors import Locked, NotFound, PsageError, UsageProblem
from productive_sage.terminal import asking, progress

if TYPE_CHECKING:
    from productive_sage.http.pool import Pool
    from productive_sage.store import Store
    from productive_sage.store.audit import Event


def show_register(
    not_copied: Annotated[
        bool, typer.Option("--not-copied", help="Those that have no copy in Sage yet.")
    ] = False,
    copied: Annotated[bool, typer.Option("--copied", help="Those that have one.")] = False,
    drafts: Annotated[
        bool, typer.Option("--drafts", help="Those whose copy is a draft in Sage.")
    ] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Those that wait for somebody.")
    ] = False,
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="Those dated in this month.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="From this day on.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="To this day.")] = None,
    company: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this company: name or Productive id.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what Sage has, too.")] = False,
    form: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How it is printed.")
    ] = "table",
    as_json: Json = False,
) -> None:
    """Show the invoices and credit notes: what is not copied yet, what is, and what waits.

    Example: psage list --not-copied --month 2026-03
    """
    from productive_sage import register
    from productive_sage import status as statuses
    from productive_sage.terminal import adopted, tables

    states = {
        register.NOT_COPIED: not_copied,
        register.COPIED: copied,
        register.DRAFT_IN_SAGE: drafts,
        register.WAITING: waiting,
    }
    if sum(states.values()) > 1:
        raise UsageProblem(
            "`--not-copied`, `--copied`, `--drafts` and `--waiting` exclude each other",
            hint="name one, or none for all of them",
        )
    exclude("--json", as_json, "--format csv", form == "csv")
    first, last = a_period(month, since, until)
    state = next((name for name, is_wanted in states.items() if is_wanted), "")
    selection = register.Selection(state, first, last, company or "")
    with current.desk(lambda _settings: None, dry_run=True) as desk:
        desk.check_business()
        home = current.home()
        now = datetime.now(UTC)
        waits = {
            one.productive_id: one.message
            for one in statuses.look(home, os.environ, now=now).waiting
            if one.productive_id
        }
        found = register.look(desk, selection, waiting=waits, check=check)
        if register.has_news(found):
            with suppress(Locked), current.run_lock(home):  # else the next command records it
                register.learn(desk, found)

    def show() -> None:
        if form == "csv":
            more = register.IN_SAGE if check else []
            tables.sheet([*register.SHEET, *more], register.sheet(found))
        else:
            tables.register(found)

    as_json = as_json or form == "json"
    end(
        show,
        lambda: {**register.as_json(found), "adopted": adopted.as_json(found.adopted)},
        as_json=as_json,
    )
    if as_json:
        return
    if found.adopted and not current.quiet:
        asking.say(adopted.said(found.adopted))
    for one in found.elsewhere.left:
        warn(f"{one.message}; {one.next_step}")
    for said in register.doubles(found):
        warn(said)
    for unread in found.unreadable:
        warn(f"not listed: {unread.error.message}; {unread.error.hint}")


@with_groups
def open_document(
    document: Annotated[
        str,
        typer.Argument(
            metavar="DOCUMENT",
            help="Number, Productive id, or address in the browser.",
            autocompletion=offered(""),
        ),
    ],
    *,
    naming: Naming,
    productive: Annotated[
        bool, typer.Option("--productive", help="The document in Productive, not its copy.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Open a document's copy in Sage in the browser, or the document in Productive.

    Example: psage open INV-2026-023
    """
    import webbrowser

    from productive_sage import register
    from productive_sage.terminal import render

    names = naming.read([document])
    if len(names) != 1:
        raise UsageProblem("one document can be opened at a time", hint="name one")
    with current.desk(lambda _settings: None, dry_run=True) as desk:
        address = register.address(desk, names[0], in_productive=productive)
    end(lambda: render.line(address), lambda: {"address": address}, as_json=as_json)
    if not as_json and sys.stdout.isatty():
        with stdout_aside():
            webbrowser.open(address)


def customers(
    action: Annotated[
        Literal["link", "forget"] | None,
        typer.Argument(help="Bill a company to a contact from now on, or look it up anew."),
    ] = None,
    company: Annotated[
        str | None, typer.Argument(metavar="COMPANY", help="In Productive: its name or id.")
    ] = None,
    contact: Annotated[
        str | None,
        typer.Argument(metavar="CONTACT", help="In Sage: its name, reference or id."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which company is billed to which contact in Sage, and why.

    Example: psage customers link "Northwind Traders Ltd" NORTH001
    """
    from productive_sage import billing
    from productive_sage.terminal import tables

    wanted = {"link": 2, "forget": 1}.get(action or "", 0)
    if len([one for one in (company, contact) if one]) != wanted:
        raise UsageProblem(
            "`customers link` takes a company and a contact, `customers forget` a company",
            hint='for example `psage customers link "Northwind Traders Ltd" NORTH001`; names of '
            "several words go into quotes",
        )
    with current.desk(lambda _settings: None, dry_run=action is None) as desk:
        desk.check_business()
        if action == "link":
            found = [billing.link(desk, company or "", contact or "")]
        elif action == "forget":
            found = billing.forget(desk, company or "")
        else:
            found = billing.look(desk)
    end(
        lambda: tables.customers(found),
        lambda: {"customers": [one.as_json() for one in found]},
        as_json=as_json,
    )


def show_history(
    document: Annotated[
        str | None,
        typer.Option(
            metavar="DOCUMENT",
            help="Of this one: id or number in either service, its address, or PRD-….",
            autocompletion=offered(""),
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="From this day on, of your own calendar.")
    ] = None,
    form: Annotated[
        Literal["table", "json", "csv"], typer.Option("--format", help="How it is printed.")
    ] = "table",
    verify: Annotated[
        bool, typer.Option("--verify", help="Look whether a record was changed or is missing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what psage wrote to the services: when, who, what was sent, and what came back.

    Example: psage history --document INV-2026-023 --since 2026-03-01
    """
    from productive_sage import naming
    from productive_sage.store import Store

    exclude("--json", as_json, "--format csv", form == "csv")
    exclude("--verify", verify, "--format csv", form == "csv")
    exclude("--verify", verify, "--document or --since", bool(document or since))
    form = "json" if as_json else form
    wanted = ""
    if document:
        names = naming.read([document])
        if len(names) != 1:
            raise UsageProblem("`--document` names one document", hint="name one at a time")
        wanted = names[0].id if names[0].organization_id else names[0].typed
    day = max(date(1970, 1, 1), a_day("--since", since) or date.min)  # all there can be
    first = datetime.combine(day, datetime.min.time()).astimezone()
    home = current.home()
    records, last = 0, ""
    events: list[Event] = []
    under_way: list[Event] = []
    if home.store.exists():
        with Store(home.store, read_only=True) as store:
            if verify:
                records, last = store.events.check()
            else:
                _check_known(store, wanted)
                newest = _SHOWN + 1 if form == "table" else -1
                events = store.events.all(document=wanted, since=first, newest=newest)
                under_way = store.events.under_way()
    if verify:
        _print_verified(records, last, form)
    else:
        _print_history(events, under_way, form)


def _check_known(store: "Store", document: str) -> None:
    """Raises NotFound for a document of which psage's records know nothing."""
    from productive_sage import naming

    names = store.copies.names()
    if not document or store.events.all(document=document, newest=1):
        return
    if not any(document in known for known in names):
        numbers = [number for _, number, _ in names if number]
        raise NotFound(
            f"psage's records know no document `{document}`",
            hint=naming.advice(document)
            or naming.did_you_mean(document, numbers)
            or "what was not copied yet has no history; `psage list` shows the documents",
        )


_SHOWN = 200
"""Records in a table at most: a person wants the newest, a script takes another form."""


def _print_verified(records: int, last: str, form: str) -> None:
    from productive_sage.terminal import render

    def show() -> None:
        if not current.quiet:
            more = f"; the hash of the last is {last}" if last else ""
            render.line(f"{records} records, each as it was written{more}")

    end(show, lambda: {"records": records, "last_hash": last}, as_json=form == "json")


def _print_history(events: "Sequence[Event]", under_way: "Sequence[Event]", form: str) -> None:
    from productive_sage import history
    from productive_sage.terminal import happened, tables

    def content() -> dict[str, Any]:
        *_, waits = [None, *tables.history_as_json(under_way)]
        return {"events": tables.history_as_json(events), "under_way": waits}

    def show() -> None:
        if form == "csv":
            tables.sheet(history.SHEET, history.sheet(events))
        elif events:
            if current.verbose:
                tables.history(events[-_SHOWN:])
            else:
                happened.show(events[-_SHOWN:], now=datetime.now(UTC))
        elif not current.quiet:
            print("nothing is recorded", file=sys.stderr)

    end(show, content, as_json=form == "json")
    if form == "table" and len(events) > _SHOWN:
        warn(
            f"these are the newest {_SHOWN} records; `--since` and `--document` choose others, "
            "`--format csv` prints all"
        )
    if under_way and form != "json":
        names = " and ".join(f"`{one.what}`" for one in under_way)
        verb = "is" if len(under_way) == 1 else "are"
        warn(
            f"{names} {verb} under way just now, or psage was stopped in it; in that case the next "
            "run records it"
        )


def status(
    check: Annotated[bool, typer.Option("--check", help="Ask both services too.")] = False,
    all_profiles: Annotated[
        bool, typer.Option("--all-profiles", help="Show every profile of the home folder.")
    ] = False,
    seen: Annotated[
        list[str] | None,
        typer.Option(metavar="ITEM", help="Take a waiting item off until it changes. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is connected, what is copied, and what waits for you.

    Without `--check` nobody is asked and nothing is opened but psage's own files.

    Example: psage status
    """
    from productive_sage import config
    from productive_sage import status as statuses
    from productive_sage.terminal import tables

    exclude("--seen", bool(seen), "--all-profiles", all_profiles)
    profiles = (config.profiles(current.folder) if all_profiles else []) or [current.profile]
    answers = {profile: _answers(profile) for profile in profiles} if check else {}
    now, found = datetime.now(UTC), []
    for profile in profiles:
        home = config.named_home(current.folder, profile, current.config)
        found.append(statuses.look(home, os.environ, now=now, answers=answers.get(profile)))
    if seen:
        items = [one.strip().lower() for one in seen]
        statuses.tick_off(found[0], items, make=current.home)
    errors = [error for one in found for error in one.errors]

    def content() -> dict[str, Any]:
        if not all_profiles:
            return statuses.as_json(found[0])
        rows = [{"profile": one.home.profile, **statuses.as_json(one)} for one in found]
        worst = statuses.worst(errors)
        return {"profiles": rows} | ({"error": worst.as_json()} if worst else {})

    end(
        lambda: tables.status(found, now=now, quiet=current.quiet),
        content,
        as_json=as_json,
        code=statuses.exit_code(errors),
    )


def _answers(profile: str) -> "dict[str, PsageError | None]":
    """What both services say to a profile's sign-ins; nothing where its settings are wrong."""
    from productive_sage import config
    from productive_sage.setup import doctor

    home = current.home_as_it_is(profile)
    try:
        settings, _ = config.load(home.config, os.environ)
    except PsageError:
        return {}  # which is said with the rest
    with current.connections() as pool:
        return doctor.ask(home, current.vault(profile), pool, settings)


def doctor(
    cron: Annotated[
        bool, typer.Option("--cron", help="Try the keyring as cron would find it, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try everything psage stands on, and say what to do about what is amiss.

    Nothing is changed.

    Example: psage doctor --cron
    """
    from productive_sage.setup import doctor as doctors
    from productive_sage.terminal import render, tables

    home = current.home_as_it_is(current.profile)
    render.name_profile(home.profile)
    checks: list[doctors.Check] = []
    with ExitStack() as stack:
        pool: Pool | PsageError
        try:
            pool = stack.enter_context(current.connections())
        except PsageError as error:  # which is told among the rest
            pool = error
        for check in doctors.examine(home, current.vault(), pool, os.environ, with_cron=cron):
            checks.append(check)
            if current.verbose and not as_json:
                with output():
                    tables.check(check)
                progress.say("Trying everything psage stands on ...")
    worst = doctors.worst(checks)

    def show() -> None:
        for check in () if current.verbose else doctors.findings(checks):
            tables.check(check)
        if not current.quiet:
            render.line(doctors.summary(checks))

    def content() -> dict[str, Any]:
        error = {"error": worst.error.as_json()} if worst and worst.error else {}
        return {"checks": [check.as_json() for check in checks], **error}

    end(show, content, as_json=as_json, code=worst.exit_code if worst else 0)
