"""`configure`: the settings, by flags or by the wizard."""

import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from productive_sage.cli.session import current
from productive_sage.errors import Interrupted, PsageError
from productive_sage.settings import SETTINGS, told
from productive_sage.settings.declared import Flag, Setting
from productive_sage.terminal import asking

if TYPE_CHECKING:
    from productive_sage.config import Home
    from productive_sage.desk import Desk
    from productive_sage.errors.notices import Notice
    from productive_sage.settings import Settings

from productive_sage.cli.common import Json, a_day, end, offered, one_of, output

Rows = dict[str, tuple[str, str]]
"""Value and source of each setting, as `setup.configure.shown` gives them."""
_COMPLETED = {"account": "ledger accounts", "tax rate": "tax rates"}


def _flag_of(setting: Setting, flag: Flag) -> inspect.Parameter:
    """The flag of a setting as Typer reads it from a parameter."""
    words = setting.allowed
    many = {"items": list[str], "decimals": list[str], "taxes": list[str]}
    kind: Any = {"yes or no": bool, **many}.get(setting.holds, str)
    completes: Callable[..., Any] | None = one_of(*words) if words else None
    if setting.holds in _COMPLETED:
        completes = offered(_COMPLETED[setting.holds])
    option = typer.Option(
        f"{flag.name}/--no-{flag.name[2:]}" if kind is bool else flag.name,
        metavar=flag.metavar or None,
        help=f"{flag.help}: {' or '.join(words)}." if words else flag.help,
        autocompletion=completes,
    )
    return inspect.Parameter(
        setting.key,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flag of each setting that has one; it gets them by the setting's key."""
    own = [one for one in inspect.signature(command).parameters.values() if one.name != "said"]
    flags = [_flag_of(one, one.flag) for one in SETTINGS.values() if one.flag]
    vars(command)["__signature__"] = inspect.Signature([*flags, *own])
    return command


@_with_flags
def configure(
    *,
    show: Annotated[bool, typer.Option("--show", help="Print the settings.")] = False,
    as_json: Json = False,
    **said: Any,
) -> None:
    """Set how invoices are copied; on a terminal without options it asks for each setting.

    Every value is checked against Sage before it is written.

    Example: psage configure --default-ledger 4000 --map-item "Design=DESIGN"
    """
    home = current.home()
    settings = current.settings(home)
    said = dict(_given(said))
    can_ask = current.can_ask and not as_json
    if not said and can_ask and not show:
        _walk(home, settings)
        return
    former: Rows | None = None
    notices: list[Notice] = []
    if said or not show:
        if can_ask and not (settings.default_ledger_account or said.get("default_ledger_account")):
            said["default_ledger_account"] = _ledger_asked(home, settings)
        settings, former, notices = _set(home, said)
    _end(home, settings, former, notices, as_json=as_json)


def _given(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What was said by flags; a day is one before anything is asked. Raises UsageProblem."""
    for key, value in said.items():
        flag = SETTINGS[key].flag
        if value not in (None, []) and flag:
            yield key, a_day(flag.name, value) if SETTINGS[key].holds == "date" else value


def _set(home: "Home", said: dict[str, Any]) -> tuple["Settings", Rows, "list[Notice]"]:
    """Write what was said; the settings now, how they read before, and what it means for copies."""
    from productive_sage import config
    from productive_sage.setup import configure as by_flags
    from productive_sage.setup import mapped_taxes, questions

    copied = _copied(home) if said.get("numbering") else 0
    with ExitStack() as stack:
        stack.enter_context(current.run_lock(home))
        before, _ = config.load(home.config, os.environ)
        former = by_flags.shown(home.config, before, os.environ, _names(home, before))
        desk = current.clients(home, before, stack)
        by_flags.configure(home.config, before, said, desk)
        pairs, today = said.get("tax_map", []), datetime.now(UTC).date()
        notices = mapped_taxes.notices(pairs, desk(), today) if pairs else []
    settings, _ = config.load(home.config, os.environ)
    notice = questions.numbering_notice(before.numbering, settings.numbering, copied)
    return settings, former, [*([notice] if notice else []), *notices]


def _end(
    home: "Home",
    settings: "Settings",
    former: Rows | None,
    notices: "Sequence[Notice]" = (),
    *,
    as_json: bool,
) -> None:
    """The settings, or what of them changed where they read `former` before."""
    from dataclasses import asdict

    from productive_sage import config
    from productive_sage.setup import configure as by_flags
    from productive_sage.terminal import render, tables

    names = _names(home, settings)
    rows = by_flags.shown(home.config, settings, os.environ, names)

    def show() -> None:
        if former is not None and not current.quiet:
            tables.changed_settings(former, rows)
        elif not current.quiet:
            if current.verbose:
                tables.settings(rows)
            else:
                where = config.sources(home.config, os.environ)
                tables.settings_in_words(told(settings, names, where))
            there = "" if home.config.exists() else ", which is not there yet"
            print(f"file: {home.config}{there}", file=sys.stderr)
        for notice in notices:
            render.warning(notice.message)

    def content() -> dict[str, Any]:
        return {
            "settings": asdict(settings),
            "sources": {key: source for key, (_, source) in rows.items()},
            "file": str(home.config),
            "warnings": [asdict(notice) for notice in notices],
        }

    end(show, content, as_json=as_json)


def _names(home: "Home", settings: "Settings") -> dict[str, str]:
    """What the ids in the settings are called, as far as this machine knows."""
    from productive_sage.store import Store, names

    with suppress(PsageError, OSError):
        if home.store.exists():
            with Store(home.store, read_only=True) as store:
                return names.of(settings, store)
    return {}


def _walk(home: "Home", settings: "Settings") -> None:
    """Ask for each setting; the profile is locked for the write, not while a person thinks."""
    from productive_sage import config
    from productive_sage.settings import Settings
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

    asking.say(
        f"Settings of the profile {home.profile}. Nothing is written before you confirm it at "
        "the end; Ctrl-C stops at any time and changes nothing."
    )
    copied = _copied(home)
    with _asking(home, settings, written) as desk:
        today = datetime.now(UTC).date()
        facts = questions.read_facts(desk, copied=copied, today=today)
        wizard.walk(current.person(), settings, facts, save)
    with output():
        if written and not current.quiet:
            render.line("The settings are written to")
            print(home.config)


def _ledger_asked(home: "Home", settings: "Settings") -> str:
    """Ask for the one setting that is obligatory."""
    from productive_sage.setup import questions, wizard

    with _asking(home, settings) as desk:
        return wizard.ask_ledger(current.person(), settings, questions.read_accounts(desk))


@contextmanager
def _asking(home: "Home", settings: "Settings", written: Sequence[object] = ()) -> Iterator["Desk"]:
    """Both services, for questions about the settings; a Ctrl-C says what it left."""
    try:
        with ExitStack() as stack:
            asking.say("Reading what there is to choose from ...")
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
