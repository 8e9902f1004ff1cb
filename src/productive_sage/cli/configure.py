"""`configure`: the settings, by flags or by the wizard."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, PsageError
from productive_sage.terminal import asking

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.desk import Desk
    from productive_sage.models import Settings

from productive_sage.cli.common import Json, a_day, offered, one_of, output


def configure(
    numbering: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE",
            help="Who numbers invoices: sage or productive.",
            autocompletion=one_of("sage", "productive"),
        ),
    ] = None,
    write_number_back: Annotated[
        bool | None,
        typer.Option(
            "--write-number-back/--no-write-number-back",
            help="Give the invoice in Productive the number Sage gave.",
        ),
    ] = None,
    pdf: Annotated[
        str | None,
        typer.Option(
            metavar="SERVICE",
            help="Who makes the PDF: sage or productive.",
            autocompletion=one_of("sage", "productive"),
        ),
    ] = None,
    default_ledger: Annotated[
        str | None,
        typer.Option(
            metavar="ACCOUNT",
            help="Ledger account for sales: code, id or name.",
            autocompletion=offered("ledger accounts"),
        ),
    ] = None,
    map_item: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=ITEM", help="SERVICE TYPE=ITEM; an empty item removes. Repeatable."
        ),
    ] = None,
    default_tax_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE",
            help="Sage tax rate for customers at home; empty removes.",
            autocompletion=offered("tax rates"),
        ),
    ] = None,
    sync_payments: Annotated[
        bool | None,
        typer.Option(
            "--sync-payments/--no-sync-payments", help="Bring payments from Sage to Productive."
        ),
    ] = None,
    sync_payments_from: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Leave payments of earlier days alone."),
    ] = None,
    minor_digits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CURRENCY=N",
            help="Decimals of Productive's amounts: JPY=0; an empty number removes. Repeatable.",
        ),
    ] = None,
    settlement_discount: Annotated[
        str | None,
        typer.Option(
            metavar="HOW",
            help="Discount for paying early, in Productive: warn or write_off.",
            autocompletion=one_of("warn", "write_off"),
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Print the settings.")] = False,
    as_json: Json = False,
) -> None:
    """Set how invoices are copied; on a terminal without options it asks for each setting.

    Every value is checked against Sage before it is written.

    Example: psage configure --default-ledger 4000 --map-item "Design=DESIGN"
    """
    from dataclasses import asdict, replace

    from productive_sage import config
    from productive_sage.setup import configure as by_flags
    from productive_sage.setup import questions, sentences
    from productive_sage.terminal import render, tables

    home = current.home()
    settings = current.settings(home)
    answers = by_flags.Answers(
        numbering=numbering,
        write_number_back=write_number_back,
        pdf=pdf,
        default_ledger=default_ledger,
        default_tax_rate=default_tax_rate,
        map_items=tuple(map_item or ()),
        sync_payments=sync_payments,
        sync_payments_from=a_day("--sync-payments-from", sync_payments_from),
        settlement_discount=settlement_discount,
        minor_digits=tuple(minor_digits or ()),
    )
    notice = former = None
    can_ask = current.can_ask and not as_json
    if answers.are_empty() and can_ask and not show:
        _walk(home, settings)
        return
    if not (show and answers.are_empty()):
        if can_ask and not (settings.default_ledger_account or default_ledger):
            answers = replace(answers, default_ledger=_ledger_asked(home, settings))
        copied = _copied(home) if numbering else 0
        with ExitStack() as stack:
            stack.enter_context(current.run_lock(home))
            before, _ = config.load(home.config, os.environ)
            former = by_flags.shown(home.config, before, os.environ, _names(home, before))
            desk = current.clients(home, before, stack)
            by_flags.configure(home.config, before, answers, desk)
        settings, _ = config.load(home.config, os.environ)
        notice = questions.numbering_notice(before.numbering, settings.numbering, copied)
    rows = by_flags.shown(home.config, settings, os.environ, _names(home, settings))
    with output():
        if as_json:
            render.document(
                "configure",
                current.profile,
                exit_code=0,
                settings=asdict(settings),
                sources={key: source for key, (_, source) in rows.items()},
                file=str(home.config),
                warnings=[asdict(notice)] if notice else [],
            )
            return
        if former is not None and not current.quiet:
            tables.changed_settings(former, rows)
        elif not current.quiet:
            if current.verbose:
                tables.settings(rows)
            else:
                where = config.sources(home.config, os.environ)
                tables.settings_in_words(sentences.told(settings, _names(home, settings), where))
            there = "" if home.config.exists() else ", which is not there yet"
            print(f"file: {home.config}{there}", file=sys.stderr)
        if notice:
            render.warning(notice.message)


def _names(home: "Home", settings: "Settings") -> dict[str, str]:
    """What the ids in the settings are called, as far as this machine knows."""
    from productive_sage import names
    from productive_sage.store import Store

    with suppress(PsageError, OSError):
        if home.store.exists():
            with Store(home.store, read_only=True) as store:
                return names.of(settings, store)
    return {}


def _walk(home: "Home", settings: "Settings") -> None:
    """Ask for each setting; the profile is locked for the write, not while a person thinks."""
    from productive_sage import config
    from productive_sage.models import Settings
    from productive_sage.setup import questions, wizard
    from productive_sage.setup.choices import Changes
    from productive_sage.terminal import render

    written: list[Changes] = []

    def save(seen: Settings, changes: Changes) -> Settings | None:
        with current.run_lock(home):
            present, _ = config.load(home.config, os.environ)
            if present != seen:
                return present
            config.edit(home.config, changes)
            written.append(changes)
        return None

    render.paragraph(
        f"Settings of the profile {home.profile}. Nothing is written before you confirm it at "
        "the end; Ctrl-C stops at any time and changes nothing."
    )
    person = wizard.Person(render.paragraph, asking.typed)
    copied = _copied(home)
    with _asking(home, settings, written) as desk:
        today = datetime.now(UTC).date()
        facts = questions.read_facts(desk, copied=copied, today=today)
        wizard.walk(person, settings, facts, save)
    with output():
        if written and not current.quiet:
            render.line("The settings are written to")
            print(home.config)


def _ledger_asked(home: "Home", settings: "Settings") -> str:
    """Ask for the one setting that is obligatory."""
    from productive_sage.setup import questions, wizard
    from productive_sage.terminal import render

    with _asking(home, settings) as desk:
        person = wizard.Person(render.paragraph, asking.typed)
        return wizard.ask_ledger(person, questions.read_accounts(desk))


@contextmanager
def _asking(home: "Home", settings: "Settings", written: Sequence[object] = ()) -> Iterator["Desk"]:
    """Both services, for questions about the settings; a Ctrl-C says what it left."""
    from productive_sage.terminal import render

    try:
        with ExitStack() as stack:
            render.paragraph("Reading what there is to choose from ...")
            desk = current.clients(home, settings, stack)()
            desk.check_business()
            yield desk
    except KeyboardInterrupt:
        if not written:
            raise Interrupted(
                "interrupted; nothing was changed", hint="`psage configure` asks again"
            ) from None


def _copied(home: "Home") -> int:
    """How many invoices have a copy, as far as this machine knows."""
    from productive_sage.store import Store

    if not home.store.exists():
        return 0
    with Store(home.store) as store:
        return len({link.productive_id for link in store.copies.of_invoices()})
