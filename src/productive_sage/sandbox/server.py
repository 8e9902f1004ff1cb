"""HTTP on loopback: listeners, the call log, faults, rate windows and the shifted clock.

Knows nothing of what the services mean; each service is a function from `Request` to `Reply`.
"""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Record = dict[str, Any]

# Sage forbids two POSTs at once to one of these.
_ONE_POST_AT_A_TIME = frozenset({"/sales_invoices", "/sales_credit_notes", "/contacts"})
# Nor may an application ask it for more than this at once.
_AT_ONCE = 150
_WITHOUT_WORK = frozenset({"status", "cut_before", "cut_late", "html", "empty_page"})
_AFTER_WORK = frozenset(
    {"status_after", "cut_after", "cut_mid", "slow", "html_after", "truncated", "field"}
)
_HERE = "the field that is another"
_HTML = b"<!DOCTYPE html><html><body><h1>We will be back soon</h1></body></html>"


@dataclass
class Switches:
    """What a test may turn on the running services; `Sandbox.reset` restores the first values."""

    latency_ms: float = 0
    limits: float = 1.0
    """Factor on every rate limit."""
    sage_day_s: int = 86_400
    """How long Sage's day is; a shorter one has its part of the calls."""
    access_token_lifetime_s: int = 300
    search_lag_s: float = 0
    """For how long `search` in Sage misses a fresh record."""
    list_lag_s: float = 0
    """For how long Sage's list of what was made or changed since misses a fresh document."""
    remember_idempotency: bool = True
    """False: Sage has forgotten every idempotency key."""
    jpy_digits: int = 0
    """Decimals of the minor unit in which Productive counts yen: 0 or 2."""
    retry_after: bool = True
    """Whether Sage's 429 carries `Retry-After`."""
    payments_touch_invoices: bool = True
    """Whether a receipt or allocation moves the `updated_at` of the documents it settles."""
    lists_carry_allocations: bool = True
    """Whether rows carry `payments_allocations` when the list is asked to show them."""
    receipts_say_nothing: bool = False
    """Receipts and allocations do not say which documents their rows settle."""
    heavy_rows: int = 0
    """Sage answers 500 to a list of whole records in larger pages than this; 0: never."""
    line_taxes: str = "near"
    """Which `tax_amount` of a line Sage takes: one `near` the rate on its net (within a cent), the
    `exact` one alone, or any, and then books its `own`."""
    refuse_inactive: bool = True
    """Whether Sage refuses a document for a contact that is inactive; nobody knows."""
    attachments: str = "transaction"
    """What links an attachment to a sales document: its `transaction` alone, `either` that or the
    document, or nothing (`unlinked`); `refused` takes the transaction, but no such context."""
    taxes_on_subtotal: bool = False
    """Whether Productive rounds an invoice's tax per rate on the subtotal, not line by line."""
    components_apart: bool = False
    """Whether Productive rounds the two parts of a tax rate one by one."""
    bad_query_status: int = 400
    """Productive's answer to an unknown filter, sort, include or field: 400 or 422."""
    pages_by_number: bool = False
    """Productive knows no cursor: lists come by page number, with totals and without links."""
    refuse_overpaying: bool = False
    """Whether Productive refuses a payment above what the invoice has unpaid."""
    files_redirect: bool = False
    """The file store answers a redirect to another host (the Sage listener)."""
    productive_read_only: bool = False
    """The Productive token may only read."""
    concurrent_posts: int = 0
    """How many overlapping POSTs Sage has refused so far."""


class Clock:
    """The services' own time: real time plus an offset that tests may move."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now(self) -> datetime:
        """Tell the time, timezone-aware."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_s)

    def stamp(self) -> str:
        """Tell the time as Sage writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")

    def today(self) -> str:
        """Tell the calendar date in UTC."""
        return self.now().date().isoformat()


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a service sees it; `path` has lost the version prefix."""

    service: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def first(self, name: str, default: str = "") -> str:
        """Give the first value of a query parameter."""
        return self.query.get(name, [default])[0]


@dataclass(slots=True)
class Reply:
    """One answer of a service."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, status: int, content: object, kind: str = "application/json") -> Reply:
        """Make a reply of a JSON document."""
        return cls(status, json.dumps(content).encode(), {"Content-Type": kind})


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it was answered.

    `status` is 0 when the connection was cut before any work; after `cut_after` it is the status
    of the work that was done, though the client never saw it.
    """

    service: str
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    status: int
    reply_headers: dict[str, str]
    reply_body: bytes
    faulted: bool


@dataclass(slots=True)
class _Fault:
    kind: str
    service: str
    method: str | None
    path: str
    nth: int
    times: int
    status: int
    body: object
    headers: dict[str, str]
    seconds: float
    seen: int = 0

    def fires(self, request: Request) -> bool:
        """Count a matching request and say whether this one is hit."""
        if self.service != request.service or self.method not in {None, request.method}:
            return False
        if not (request.path.startswith(self.path) or fnmatchcase(request.path, self.path)):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class Windows:
    """Sliding rate windows over the services' clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[tuple[int, int], deque[float]] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget every call."""
        self._seen.clear()

    def hit(self, rules: list[tuple[int, int]], factor: float) -> tuple[int, int, int] | None:
        """Count a call; give (limit, period, seconds to wait) when a window is full.

        `rules` are (calls, period in seconds); a refused call is not counted.
        """
        now = self._clock.now().timestamp()
        with self._lock:
            for rule in rules:
                seen = self._seen.setdefault(rule, deque())
                while seen and seen[0] <= now - rule[1]:
                    seen.popleft()
                limit = max(1, int(rule[0] * factor))
                if len(seen) >= limit:
                    return limit, rule[1], max(1, math.ceil(seen[0] + rule[1] - now))
            for rule in rules:
                self._seen[rule].append(now)
        return None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the handler puts on the wire: all of the reply, half of it, or nothing."""

    reply: Reply
    sent: str = "all"


class Desk:
    """Stands between the sockets and the services: faults, delays, the log."""

    def __init__(self, switches: Switches, clock: Clock) -> None:
        self.clock = clock
        self._switches = switches
        self._late: list[tuple[datetime, Callable[[], Reply]]] = []
        self._lock = threading.Lock()
        self._faults: list[_Fault] = []
        self._calls: list[Call] = []
        self._posting: set[str] = set()
        self._under_way: Counter[str] = Counter()
        self.posts_at_once: dict[str, int] = {}
        """The most POSTs that were under way at once, by service and resource."""
        self._at_sage = 0

    def clear(self) -> None:
        """Forget faults and calls."""
        with self._lock:
            self._faults.clear()
            self._calls.clear()
            self.posts_at_once.clear()

    def forget_late_work(self) -> None:
        """Let what was cut off never be done."""
        with self._lock:
            self._late.clear()

    def clear_faults(self) -> None:
        """Forget the faults only."""
        with self._lock:
            self._faults.clear()

    def clear_calls(self) -> None:
        """Forget the calls only."""
        with self._lock:
            self._calls.clear()

    def calls(self, service: str | None, method: str | None, path: str | None) -> list[Call]:
        """List calls in the order they were answered; `path` is a prefix or a pattern."""
        with self._lock:
            return [
                call
                for call in self._calls
                if service in {None, call.service}
                and method in {None, call.method}
                and (path is None or call.path.startswith(path) or fnmatchcase(call.path, path))
            ]

    def add_fault(self, fault: Record) -> None:
        """Arrange a fault; see `Sandbox.fault`."""
        if fault["kind"] not in _WITHOUT_WORK | _AFTER_WORK:
            message = f"no such fault: {fault['kind']}"
            raise ValueError(message)
        with self._lock:
            self._faults.append(_Fault(**fault))

    def serve(self, request: Request, app: Callable[[Request], Reply]) -> _Outcome:
        """Answer a request through its service, with whatever fault is arranged for it."""
        self.do_late_work()
        fault = self._fault_for(request)
        kind = fault.kind if fault else ""
        if fault and kind == "cut_late":
            due = self.clock.now() + timedelta(seconds=fault.seconds)
            self._late.append((due, partial(_answer, app, request)))
        with self._counted(request), self._admitted(request) as refusal:
            delay_s = self._switches.latency_ms / 1000
            if fault and kind == "slow":
                delay_s += fault.seconds
            if delay_s:
                time.sleep(delay_s)
            reply = Reply(0) if kind in _WITHOUT_WORK else refusal or _answer(app, request)
        outcome = _spoil(request, reply, fault) if fault else _Outcome(reply)
        self._log(request, outcome.reply, faulted=fault is not None)
        return outcome

    def do_late_work(self) -> None:
        """Do what was cut off and is due by now."""
        now = self.clock.now()
        with self._lock:
            due = [work for at, work in self._late if at <= now]
            self._late = [(at, work) for at, work in self._late if at > now]
        for work in due:
            work()

    def _fault_for(self, request: Request) -> _Fault | None:
        with self._lock:
            # Every fault counts the request, so that two with different `nth` do not shift.
            hits = [fault for fault in self._faults if fault.fires(request)]
        return hits[0] if hits else None

    @contextmanager
    def _counted(self, request: Request) -> Iterator[None]:
        """Count a POST among those to its resource, whether or not its service minds."""
        if request.method != "POST":
            yield
            return
        resource = f"{request.service} {request.path}"
        with self._lock:
            self._under_way[resource] += 1
            most = self.posts_at_once.get(resource, 0)
            self.posts_at_once[resource] = max(most, self._under_way[resource])
        try:
            yield
        finally:
            with self._lock:
                self._under_way[resource] -= 1

    @contextmanager
    def _admitted(self, request: Request) -> Iterator[Reply | None]:
        """Count a request among those at Sage; give its refusal where it is one too many."""
        if request.service != "sage":
            yield None
            return
        guarded = request.method == "POST" and request.path in _ONE_POST_AT_A_TIME
        refusal = None
        with self._lock:
            self._at_sage += 1
            if self._at_sage > max(1, int(_AT_ONCE * self._switches.limits)):
                refusal = _refusal(429, "TooManyRequests", "Too many requests at once")
            elif guarded and request.path in self._posting:
                self._switches.concurrent_posts += 1
                words = "Another request is creating a record of this kind"
                refusal = _refusal(409, "ConcurrentRequest", words)
            elif guarded:
                self._posting.add(request.path)
        try:
            yield refusal
        finally:
            with self._lock:
                self._at_sage -= 1
                if guarded and not refusal:
                    self._posting.discard(request.path)

    def _log(self, request: Request, reply: Reply, *, faulted: bool) -> None:
        call = Call(
            service=request.service,
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=request.body,
            status=reply.status,
            reply_headers=dict(reply.headers),
            reply_body=reply.body,
            faulted=faulted,
        )
        with self._lock:
            self._calls.append(call)


def _answer(app: Callable[[Request], Reply], request: Request) -> Reply:
    try:
        return app(request)
    except Exception:  # noqa: BLE001 - a defect of the sandbox must not look like a lost reply
        return Reply(599, b"defect of the sandbox\n" + traceback.format_exc().encode())


def _refusal(status: int, code: str, words: str) -> Reply:
    """Refuse in Sage's form."""
    row = {"$severity": "error", "$dataCode": code, "$message": words, "$source": ""}
    return Reply.of(status, [row])


def _spoil(request: Request, reply: Reply, fault: _Fault) -> _Outcome:
    match fault.kind:
        case "cut_before" | "cut_after" | "cut_late":
            return _Outcome(reply, "nothing")
        case "cut_mid":
            return _Outcome(reply, "half")
        case "status" | "status_after":
            return _Outcome(_failure(request, fault))
        case "html" | "html_after":
            return _Outcome(
                Reply(200, _HTML, {"Content-Type": "text/html; charset=utf-8", **fault.headers})
            )
        case "truncated":
            reply.body = reply.body[: len(reply.body) // 2]
        case "field":
            reply.body = _with_field(reply.body, fault.body)
        case "empty_page":
            return _Outcome(_empty_page(request))
    return _Outcome(reply)


def _failure(request: Request, fault: _Fault) -> Reply:
    body = fault.body
    if isinstance(body, bytes | str):
        content = body.encode() if isinstance(body, str) else body
        return Reply(fault.status, content, {"Content-Type": "text/html", **fault.headers})
    reason = HTTPStatus(fault.status).phrase
    if body is not None:
        reply = Reply.of(fault.status, body)
    elif request.service == "sage":
        reply = _refusal(fault.status, "UnexpectedError" if fault.status == 500 else reason, reason)
    elif request.service == "auth":
        refused = {"error": "server_error", "error_description": reason}
        reply = Reply.of(fault.status, refused)
    else:
        reply = Reply.of(fault.status, {"errors": [{"status": str(fault.status), "title": reason}]})
    if request.service == "productive":
        reply.headers["Content-Type"] = "application/vnd.api+json"
    reply.headers.update(fault.headers)
    return reply


def _with_field(body: bytes, change: Any) -> bytes:
    """Write `change["json"]`, any text, where the names and places of `change["at"]` lead.

    Leave the field out where it is None; the body as it is where they lead nowhere.
    """
    *way, last = change["at"]
    try:
        inner = document = json.loads(body)
        for step in way:
            inner = inner[step]
        inner[last]
    except (ValueError, LookupError, TypeError):
        return body
    if change["json"] is None:
        del inner[last]
        return json.dumps(document).encode()
    inner[last] = _HERE
    return json.dumps(document).replace(json.dumps(_HERE), change["json"]).encode()


def _empty_page(request: Request) -> Reply:
    if request.service == "productive":
        meta = {"page_size": 30, "max_page_size": 200}
        if "page[after]" not in request.query:
            meta |= {"current_page": 1, "total_pages": 0, "total_count": 0}
        content: object = {"data": [], "meta": meta, "links": {}}
        return Reply.of(200, content, "application/vnd.api+json")
    page = {"$total": 0, "$page": 1, "$itemsPerPage": 20, "$next": None, "$back": None}
    reply = Reply.of(200, {**page, "$items": []})
    business = request.headers.get("x-business")
    if business:
        # The most dangerous empty page is one that looks right in every other way.
        reply.headers["X-Business"] = business
    return reply


class Listener(ThreadingHTTPServer):
    """One loopback port; `locate` names service, inner path and the function that answers."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        desk: Desk,
        locate: Callable[[str], tuple[str, str, Callable[[Request], Reply]]],
    ) -> None:
        self.desk = desk
        self.locate = locate
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def server_bind(self) -> None:
        """Bind without the name look-up of the base class, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    @property
    def url(self) -> str:
        """The base address, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and drop what is still connected."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, so that `stop` can end idle ones."""
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about clients that hang up; a defect of the sandbox answers 599."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Listener
    # With keep-alive, Nagle against delayed acknowledgement costs 44 ms a request.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer any method: the services decide."""
        request_target = urlsplit(self.path)
        service, path, app = self.server.locate(request_target.path)
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            self.close_connection = True
            self._send(Reply(411, b"length required"), half=False)
            return
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            service=service,
            method=self.command,
            path=path,
            query=parse_qs(request_target.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length) if length else b"",
        )
        if service == "control":
            self._send(app(request), half=False)
            return
        outcome = self.server.desk.serve(request, app)
        if outcome.sent == "all":
            self._send(outcome.reply, half=False)
            return
        self.close_connection = True
        if outcome.sent == "half":
            self._send(outcome.reply, half=True)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the base class's names

    def _send(self, reply: Reply, *, half: bool) -> None:
        try:
            reason = HTTPStatus(reply.status).phrase
        except ValueError:
            reason = "Unknown"
        head = [f"HTTP/1.1 {reply.status} {reason}", f"Date: {self._date()}"]
        head += [f"{name}: {value}" for name, value in reply.headers.items()]
        if reply.status != HTTPStatus.NO_CONTENT:
            head.append(f"Content-Length: {len(reply.body)}")
        if self.close_connection:
            head.append("Connection: close")
        body = reply.body[: len(reply.body) // 2] if half else reply.body
        # One write: a second small packet would wait for the first to be acknowledged.
        self.wfile.write("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    def _date(self) -> str:
        """The services' own time, as a header has it."""
        return self.date_time_string(self.server.desk.clock.now().timestamp())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Print nothing: stdout and stderr belong to the program under test."""
