"""Each field of each reply of a clean run is another, once: cases, scenarios and the oracle.

A scenario is set up once and its clean run recorded. A case is that run again with one field of one
reply changed, by the sandbox, so that nothing of psage is patched; then once more on a good day.
"""

import inspect
import json
import pickle
import random
import re
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx

from productive_sage import productive, sage
from productive_sage.sandbox import CLIENT_ID, CLIENT_SECRET, PRODUCTIVE_TOKEN, Sandbox
from productive_sage.sandbox.server import Call, Request
from productive_sage.setup import businesses
from productive_sage.signin import oauth
from productive_sage.signin.vault import Vault
from productive_sage.store import audit
from tests.conftest import MemoryKeyring, Psage, Result, consent, sage_sign_in
from tests.harness.payments import World, by_hand, make_busy, ours, sage_says

# --- what a field becomes

_LONG = 200_000
_FOR_TERMINALS = (
    "A\x1b]52;c;cHNhZ2U=\x07\x1b]8;;http://x.example\x1b\\\x1b[31m\x9b1m\u202eB\u2066\x00"
)


def _of_another_type(value: Any) -> str:
    if isinstance(value, str):
        return value if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", value) else "7"
    return json.dumps(str(value)) if isinstance(value, int | float) else '"text"'


def _much_like_it(value: Any) -> str:
    """One that could be meant: the next number, another letter, one row less."""
    if isinstance(value, bool):
        return json.dumps(not value)
    if isinstance(value, int | float):
        return json.dumps(value + 1)
    if isinstance(value, str) and value:
        last = value[-1]
        return json.dumps(value[:-1] + {"9": "8", "f": "e"}.get(last, chr(ord(last) + 1)))
    return json.dumps(value[:-1]) if isinstance(value, list) else '{"id": "1"}'


def _always(text: str | None) -> Callable[[Any], str | None]:
    return lambda _value: text


def _text(value: str) -> Callable[[Any], str | None]:
    return _always(json.dumps(value))


MUTATIONS: dict[str, Callable[[Any], str | None]] = {
    "missing": _always(None),
    **{text: _always(text) for text in ("null", "true", "false", "[]", "{}")},
    "in a list": lambda value: json.dumps([value]),
    "another type": _of_another_type,
    "another": _much_like_it,
    **{text: _always(text) for text in ("0", "-1", "0.005", "1e-30", "1e30", "-1e30")},
    **{text: _always(text) for text in ("1e999999999", "9223372036854775808", "NaN")},
    "5,000 digits": _always("7" * 5000),
    "nested deep": _always("[" * 100_000 + "]" * 100_000),
    "no text": _text(""),
    "a space": _text(" "),
    "text 0": _text("0"),
    "text 1e999999999": _text("1e999999999"),
    "text NaN": _text("NaN"),
    "text of digits": _text("7" * _LONG),
    "long text": _text("x" * _LONG),
    "digits of another script": _text("１２"),
    "a path up": _text("../x"),
    "parts of an address": _text("a/b?c=d#e"),
    "no day": _text("2026-02-30"),
    "the last instant": _text("9999-12-31T23:59:59Z"),
    "for terminals": _text(_FOR_TERMINALS),
    "markup": _text("INV[/]7 [red]x[/red]"),
    "half a character": _always(r'"a\ud800b"'),
    "a script": _text("javascript:alert(document.cookie)"),
    "a secret": _text(f"so {PRODUCTIVE_TOKEN} said"),
}
_NO_JSON = frozenset({"NaN", "5,000 digits", "nested deep"})
"""Tried again by psage, so these come as often as it asks."""


_NAMES = frozenset("id reference source_guid note".split())
_CUSTOMER = frozenset("name billing_name vat address city state zipcode country email".split())
Way = tuple[str | int, ...]
"""The names and places that lead to a field."""


@dataclass(frozen=True, slots=True)
class Case:
    """One field of one reply of a scenario, and what it becomes."""

    scenario: str
    call: int
    at: Way
    mutation: str
    as_json: bool

    @property
    def is_of_the_customer(self) -> bool:
        """Whether it is a text about the customer, where any is as good as another.

        A new contact carries it, and psage changes no contact afterwards: it is the bookkeeper's.
        """
        return self.scenario == "copy" and self.call == 0 and self.at[-1] in _CUSTOMER

    def __str__(self) -> str:
        way = "/".join(map(str, self.at))
        form = "json" if self.as_json else "people"
        return f"{self.scenario}: reply {self.call} /{way}: {self.mutation} ({form})"


def _fields(value: Any, at: Way = ()) -> Iterator[Way]:
    """The way to each field of a document, to those that hold others too."""
    inner: dict[Any, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        inner = dict(enumerate(value))
    for name, one in inner.items():
        yield (*at, name)
        yield from _fields(one, (*at, name))


def _alike(ways: Iterator[Way]) -> list[list[Way]]:
    """The ways to the same field of all rows of a list, together."""
    found: dict[Way, list[Way]] = {}
    for way in ways:
        shape = tuple("*" if isinstance(step, int) else step for step in way)
        found.setdefault(shape, []).append(way)
    return list(found.values())


# --- the scenarios

NEW = ("copy-invoice", "125", "--tax-rate", "GB_STANDARD", "--update-existing")
NOTE = ("credit-note", "110", "--update-existing")


def _nothing(world: World) -> None:
    pass


def _copied_and_changed(world: World) -> None:
    """Copied with its PDF; since then a line, a date and the PDF are others in Productive."""
    world.run(*NEW)
    agency = world.sandbox.agency
    agency.edit_line("125001", quantity="9", description="More work")
    agency.edit_invoice("125", pay_on="2026-05-05")
    agency.set_pdf("125", b"%PDF-1.4 another one")


def _credited(world: World) -> None:
    world.run("copy-invoice", "111", "--tax-rate", "GB_STANDARD", "--no-pdf")


@dataclass(frozen=True)
class Scenario:
    """How it comes about, and what is run."""

    prepare: Callable[[World], None]
    command: tuple[str, ...]


SCENARIOS = {
    "copy": Scenario(_nothing, NEW),
    "update": Scenario(_copied_and_changed, NEW),
    "credit note": Scenario(_credited, NOTE),
    "payments": Scenario(make_busy, ("sync-payments",)),
    "connect": Scenario(
        _nothing,
        (
            *("connect", "--force", "--organization-id", "4200", "--client-id", CLIENT_ID),
            *("--paste", "--business", "Harbour & Pine Ltd"),
        ),
    ),
}


class Browser:
    """A standard input that allows access at the last address shown, and says where it ended."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.address = ""

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        return consent(self.address) if self.address else ""


# --- the state of both services


Table = dict[str, dict[str, Any]]
_KEPT_BY_SAGE = (
    "contacts sales_invoices sales_credit_notes attachments contact_payments contact_allocations"
).split()
_STAMP = re.compile(r'\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)|"born": [\d.]+(, )?')


def _said(row: dict[str, Any], new: Mapping[str, str]) -> str:
    """A row less its times, each new id replaced by what it is of."""
    said = _STAMP.sub("", json.dumps(row, default=str, sort_keys=True))
    for key, table in new.items():
        # Sage's ids that belong together differ in their end alone.
        said = re.sub(f"{key[:-2]}.." if len(key) == 32 else f'(?<="){key}(?=")', table, said)
    return said


def _less_customer(state: str) -> str:
    """A state without what a new contact holds, and its documents say of it."""
    said = {
        table: [json.loads(row) for row in rows if row.startswith("{")]
        for table, rows in json.loads(state).items()
    }
    for row in said.get("sage sales_invoices", []):
        row["main_address"] = row["delivery_address"] = None
    return json.dumps(said | {"sage contacts": len(said.get("sage contacts", []))})


def tables(sage: Any, productive: Any) -> dict[str, Table]:
    """Every table that psage's writes can change."""
    books = sage["books"][sage["lead"]]
    found = {f"sage {name}": books[name] for name in _KEPT_BY_SAGE}
    return found | {f"productive {name}": rows for name, rows in productive["tables"].items()}


@dataclass(slots=True)
class Snapshot:
    """A scenario as it is before its run, what a clean run reads, and what it leaves."""

    data: bytes
    keyring: dict[tuple[str, str], str]
    files: dict[str, bytes]
    people: list[dict[str, Any]]
    before: dict[str, Table] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    good: str = ""
    mended: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """The error and the state after a clean run, by what it finds: the services, psage's memory."""
    nets: dict[str, object] = field(default_factory=dict)
    """Of the documents of a clean run, by reference."""


class Body(httpx.SyncByteStream):
    """The body of an answer, in one piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


def without_wire(sandbox: Sandbox) -> Callable[[Any, httpx.Request], httpx.Response]:
    """Hand each request over to the sandbox, in the place of a connection and two threads."""

    def handle(_transport: Any, request: httpx.Request) -> httpx.Response:
        (listener,) = (one for one in sandbox._listeners if one.server_port == request.url.port)
        service, path, app = listener.locate(request.url.path)
        asked = Request(
            service=service,
            method=request.method,
            path=path,
            query=parse_qs(request.url.query.decode(), keep_blank_values=True),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=request.read(),
        )
        reply = listener.desk.serve(asked, app).reply
        date = {"Date": format_datetime(sandbox.clock.now(), usegmt=True)}
        return httpx.Response(reply.status, headers=date | reply.headers, stream=Body(reply.body))

    return handle


class Hang(BaseException):
    """A run that does not end."""


def _hang(*_: object) -> None:
    raise Hang


_snapshots: dict[str, Snapshot] = {}
_SECRETS = (PRODUCTIVE_TOKEN, CLIENT_SECRET)
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_CODES = {0, 2, 3, 4, 5, 6, 7, 8}


class Stage:
    """Both services, a home and a keyring, brought back to the beginning of a scenario."""

    def __init__(
        self, sandbox: Sandbox, psage: Psage, home: Path, keyring: MemoryKeyring, browser: Browser
    ) -> None:
        self.sandbox, self.home, self.keyring, self.browser = sandbox, home, keyring, browser
        self._psage = psage
        self._is_fresh = ""

    def psage(self, *args: str) -> Result:
        """Run a command; Hang after a minute."""
        self.browser.address = ""
        signal.signal(signal.SIGALRM, _hang)
        signal.alarm(60)
        try:
            return self._psage(*args)
        finally:
            signal.alarm(0)

    def snapshot(self, name: str) -> Snapshot:
        if name not in _snapshots:
            scenario, sandbox, home = SCENARIOS[name], self.sandbox, self.home
            sandbox.access_token_lifetime_s = 86_400
            Vault("default").save(sage_sign_in(sandbox))
            scenario.prepare(World(sandbox, self._psage, home))
            data = (sandbox.sage.data, sandbox.productive.data, sandbox.sign_in.data)
            snapshot = _snapshots[name] = Snapshot(
                pickle.dumps(data),
                dict(self.keyring.entries),
                {file.name: file.read_bytes() for file in home.glob("default.*")},
                by_hand(sandbox),
            )
            sage, productive, _ = pickle.loads(snapshot.data)
            snapshot.before = tables(sage, productive)
            self.set(name)
            result = self.psage(*scenario.command, "--json")
            assert result.code == 0, result
            snapshot.calls = sandbox.calls()
            snapshot.good, snapshot.nets = self.state(name), self.nets()
            again = self.psage(*scenario.command, "--json")
            assert (again.code, self.state(name)) == (0, snapshot.good), again
        return _snapshots[name]

    def set(self, name: str) -> Snapshot:
        """Begin a scenario; nobody has run anything yet."""
        snapshot, sandbox = _snapshots[name], self.sandbox
        if self._is_fresh != name or any(call.method != "GET" for call in sandbox.calls()):
            sage, productive, sandbox.sign_in.data = pickle.loads(snapshot.data)
            sandbox.sage.load(sage)
            sandbox.productive.load(productive)
        self._is_fresh = name
        self.keyring.entries = dict(snapshot.keyring)
        for file in (*self.home.glob("default.*"), *self.home.glob("logs/*")):
            file.unlink()
        for name_, content in snapshot.files.items():
            (self.home / name_).write_bytes(content)
        sandbox.clear_calls()
        sandbox.clear_faults()
        return snapshot

    def state(self, name: str) -> str:
        """What changed in both services since the scenario began, less times and ids."""
        before, said = _snapshots[name].before, dict[str, list[str]]()
        now = tables(self.sandbox.sage.data, self.sandbox.productive.data)
        new = {key: table for table, rows in now.items() for key in rows.keys() - before[table]}
        for table, rows in now.items():
            old = before[table]
            for row in rows.values():
                new |= {line["id"]: "lines" for line in row.get("lines", []) if row["id"] in new}
            changed = sorted(_said(row, new) for key, row in rows.items() if row != old.get(key))
            was = {_said(row, new) for key, row in old.items() if row != rows.get(key)}
            gone = sorted(old.keys() - rows)
            said[table] = [*(row for row in changed if row not in was), *gone]
        return json.dumps({table: rows for table, rows in said.items() if rows})

    def memory(self) -> str:
        """What psage knows, less times and what only tells of the past."""
        with closing(sqlite3.connect(self.home / "default.db")) as store:
            names = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            rows = [
                store.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()
                for (name,) in names
                if name != "event"
            ]
            rows = [row for table in rows for row in table if row[0] != "history"]
        return _STAMP.sub("", f"{rows} {sorted(self.keyring.entries)}")

    def documents(self) -> list[dict[str, Any]]:
        sage = self.sandbox.sage
        return [*sage.invoices.values(), *sage.credit_notes.values()]

    def nets(self) -> dict[str, object]:
        return {row["reference"]: row["net_amount"] for row in self.documents()}

    # --- a case

    def try_out(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        snapshot = self.set(case.scenario)
        call = snapshot.calls[case.call]
        earlier = [
            one
            for one in snapshot.calls[: case.call]
            if one.service == call.service
            and one.method == call.method
            and one.path.startswith(call.path)
        ]
        value = json.loads(call.reply_body)
        for step in case.at:
            value = value[step]
        self.sandbox.fault(
            "field",
            service=call.service,
            method=call.method,
            path=call.path,
            nth=len(earlier) + 1,
            times=5 if case.mutation in _NO_JSON else 1,
            body={"at": case.at, "json": MUTATIONS[case.mutation](value)},
        )
        command = SCENARIOS[case.scenario].command
        try:
            result = self.psage(*command, *(["--json"] if case.as_json else []))
            wrong = [*self._said(result, case), *self._done(result, snapshot)]
            if len(self.sandbox.calls()) > 3 * len(snapshot.calls) + 20:
                wrong.append(f"{len(self.sandbox.calls())} calls")
            self.sandbox.clear_faults()
            left = (self.state(case.scenario), self.memory())
            if left not in snapshot.mended:
                after = self.psage(*command, "--json")
                error = f"{after.code} {_errors(after)}" if after.code else ""
                snapshot.mended[left] = error, self.state(case.scenario)
        except Hang:
            return ["it does not end"]
        error, state = snapshot.mended[left]
        good = snapshot.good
        if case.is_of_the_customer:
            state, good = _less_customer(state), _less_customer(good)
        if error or state != good:
            error = error or f"leaves {_difference(state, good)}"
            wrong.append(f"{result.code}, and the clean run: {error}")
        return wrong

    def _said(self, result: Result, case: Case) -> Iterator[str]:
        log = "".join(file.read_text() for file in self.home.glob("logs/*"))
        shown = result.out + result.err
        if result.code not in _CODES:
            yield f"exit {result.code}"
        if "Traceback" in shown + log or "defect" in shown:
            yield f"a defect: {_last(log) or shown[-300:]}"
        if found := _UNSEEN.search(shown):
            yield f"{found[0]!r} is shown"
        for secret in (*_SECRETS, *self._tokens()):
            if secret in shown + log:
                yield "a secret is shown"
        if len(shown) > 20_000:
            yield f"{len(shown)} characters are shown"
        if case.as_json:
            try:
                document = json.loads(result.out)
            except ValueError:
                yield f"not one JSON document: {result.out[:200]!r}"
                return
            if document["exit_code"] != result.code:
                yield "the document says another exit code"

    def _tokens(self) -> Iterator[str]:
        """The tokens that were given out during the run, as far as they still are some."""
        for call in self.sandbox.calls("auth", "POST", "/token"):
            for token in re.findall(rb'_token": "([^"]{100,2000})"', call.reply_body):
                yield token.decode()

    def _done(self, result: Result, snapshot: Snapshot) -> Iterator[str]:
        yield from self._done_in_sage(result, snapshot)
        yield from self._payments_made(snapshot)
        yield from self._marks_made(snapshot)

    def _done_in_sage(self, result: Result, snapshot: Snapshot) -> Iterator[str]:
        contacts = self.sandbox.sage.contacts.values()
        for what, markers in (
            ("document", [row["reference"] for row in self.documents() if row["reference"]]),
            ("customer", [row["source_guid"] for row in contacts if row["source_guid"]]),
        ):
            if len(markers) != len(set(markers)):
                yield f"a {what} is doubled: {sorted(markers)}"
        for marker, net in self.nets().items() if result.code == 0 else ():
            if marker and net != snapshot.nets.get(marker):
                yield f"done, but the net of {marker} is {net}"

    def _payments_made(self, snapshot: Snapshot) -> Iterator[str]:
        if by_hand(self.sandbox) != snapshot.people:
            yield "a person's payment is another"
        try:
            held = ours(self.sandbox)
        except AssertionError as error:
            yield f"a payment is {error}"
            return
        receipts, old = sage_says(self.sandbox), snapshot.before["productive payments"]
        for marker, row in held.items():
            if row["id"] not in old and marker not in receipts:
                yield f"a payment without a receipt: {row}"

    def _marks_made(self, snapshot: Snapshot) -> Iterator[str]:
        copies = {row["id"]: row["reference"] for row in self.documents()}
        before = snapshot.before["productive invoices"]
        for key, row in self.sandbox.productive.data["tables"]["invoices"].items():
            said, link = row["attributes"], row["attributes"].get("export_invoice_url")
            marker = copies.get(said.get("export_id"))
            is_new = said.get("export_id") != before[key]["attributes"].get("export_id")
            # What names nothing must be right after the clean run.
            if is_new and marker not in (None, f"PRD-{key}"):
                yield f"export_id of {key} names {marker}"
            if link and not link.startswith("http"):
                yield f"{link} is no link"


def _errors(result: Result) -> str:
    try:
        document = result.json
    except ValueError:
        return result.out[-200:] + result.err[-200:]
    places = [document, *document.get("results", []), *document.get("failed", [])]
    return "; ".join(
        str((one.get("error") or {}).get("message")) for one in places if one.get("error")
    )


def _last(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    files = [line.strip() for line in lines if 'File "' in line and "productive_sage" in line]
    return f"{files[-1] if files else ''} {lines[-1][:200]}" if files else ""


def _difference(left: str, right: str) -> str:
    at = next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)
    return f"…{left[max(0, at - 80) : at + 80]}… and not …{right[max(0, at - 20) : at + 80]}…"


# --- the cases


@cache
def _known() -> frozenset[str]:
    """The names that stand in psage's readers."""
    rooms = (Path(folder) for room in (productive, sage) for folder in room.__path__)
    clients = [path for room in rooms for path in room.glob("*.py") if path.stem != "records"]
    text = "".join(map(inspect.getsource, (audit, businesses, oauth)))
    text += "".join(path.read_text() for path in sorted(clients))
    return frozenset(re.findall(r"[\"']([$\w]+)[\"']", text))


def cases(name: str, calls: list[Call]) -> Iterator[Case]:
    """Each field and each mutation, in an order that is the same in every run.

    Of a field that all rows of a list have, that of the first or of the last row. As long as there
    are any, half of the cases are of what says which thing was written, and four of five of the
    others are of fields that psage knows by name.
    """
    named: list[Case] = []
    known: list[Case] = []
    others: list[Case] = []
    for number, call in enumerate(calls):
        try:
            document = json.loads(call.reply_body)
        except ValueError:
            continue
        for same in _alike(_fields(document)):
            is_known = all(step in _known() for step in same[0] if isinstance(step, str))
            for place, mutation in enumerate(MUTATIONS):
                at = same[-1 if (place + len(known)) % 2 else 0]
                one = Case(name, number, at, mutation, as_json=(place + number) % 3 == 0)
                is_named = call.method != "GET" and at[-1] in _NAMES and len(at) <= 2
                (named if is_named else known if is_known else others).append(one)
    for some in (named, known, others):
        random.Random(name).shuffle(some)
    while named or known or others:
        if named:
            yield named.pop()
        if known or others:
            yield (others if others and (len(known) % 5 == 0 or not known) else known).pop()
