"""The request loop over a wire that does as told: what is tried again, what never is."""

import gzip
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from productive_sage.errors import (
    ConfigInvalid,
    NetworkDown,
    NoSubscription,
    OutcomeUnknown,
    PsageError,
    RateLimited,
    ReadOnlyRun,
    RefusedBySage,
    ServiceUnavailable,
    SignInExpired,
    UsageProblem,
)
from productive_sage.http import Http, answers
from productive_sage.http.pacing import (
    BUDGET_S,
    MAX_ATTEMPTS,
    Limiter,
    Window,
    backoff_s,
    is_affordable,
)
from productive_sage.http.pool import Pool, answer_of, connect_pool
from productive_sage.http.timing import Timing
from productive_sage.sage.calls import _lapsed, words_of
from productive_sage.sage.client import SageClient
from tests.harness.history import unrecorded

BASE = "https://sage.test/v3.1"
HTML = "<!DOCTYPE html><h1>We will be back soon</h1>"
BODY = {"contact": {"name": "Blåbær"}}

Answer = httpx.Response | Exception


@dataclass
class Wire:
    """Gives the answers in order, the last one for ever; remembers what was sent."""

    answers: list[Answer]
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        assert len(self.requests) < 50, "an endless loop"
        at = min(len(self.requests), len(self.answers)) - 1
        answer = self.answers[at]
        if isinstance(answer, Exception):
            raise answer
        # A response can be read once.
        return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)


@dataclass
class Time:
    """A clock that moves when somebody sleeps, and not otherwise."""

    now: float = 0.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@dataclass
class Tokens:
    """A sign-in whose tokens are numbered; `renewable` False is a plain API token."""

    renewable: bool = True
    number: int = 1
    asked: int = 0
    renewals: int = 0

    def headers(self) -> dict[str, str]:
        self.asked += 1
        return {"Authorization": f"Bearer {self.number}"}

    def renew(self, refused: Mapping[str, str]) -> bool:
        self.renewals += 1
        self.number += 1
        return self.renewable


@dataclass
class Line:
    """An `Http` with its wire, time and tokens in view."""

    http: Http
    wire: Wire
    time: Time
    tokens: Tokens

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {request.url}" for request in self.wire.requests]

    def get(self) -> Any:
        return self.http.get("/contacts").document

    def post(self) -> Any:
        return self.http.write("POST", "/contacts", BODY, unrecorded).document


Connect = Callable[..., Line]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make a line that answers as listed."""
    clients: list[httpx.Client] = []

    def make(*answers: Answer, renewable: bool = True, jitter: float = 1.0, **more: Any) -> Line:
        wire, time, tokens = Wire(list(answers)), Time(), Tokens(renewable)
        clients.append(httpx.Client(transport=httpx.MockTransport(wire)))
        timing = Timing(clock=lambda: time.now, sleep=time.sleep, jitter=lambda: jitter)
        http = Http(
            Pool(clients[-1], timing),
            BASE,
            refused=RefusedBySage,
            explain=words_of,
            credentials=tokens,
            **more,
        )
        return Line(http, wire, time, tokens)

    yield make
    for client in clients:
        client.close()


def ok(document: Any = None) -> httpx.Response:
    return httpx.Response(200, json={"id": "1"} if document is None else document)


def status(code: int, document: Any = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if document is None:
        return httpx.Response(code, headers=named, text=HTML)
    return httpx.Response(code, headers=named, json=document)


@pytest.mark.parametrize(
    "id_",
    [
        "../businesses",
        "..",
        "..//evil.test",
        "%2e%2E",
        "",
        "a b",
        "a\nb",
        "a#b",
        "a\\b",
        "\ud800",
        "9" * 2_000_000,
    ],
)
def test_an_id_that_is_none_never_becomes_an_address(connect: Connect, id_: str) -> None:
    line = connect(ok())

    for send in (line.http.get, lambda path: line.http.write("DELETE", path, None, unrecorded)):
        with pytest.raises(ServiceUnavailable, match="is no address") as caught:
            send(f"/contacts/{id_}")
        assert len(caught.value.message) < 200

    assert line.sent == []


NOTHING_SENT = {
    "no connection": httpx.ConnectError("[Errno 111] Connection refused"),
    "no connection in time": httpx.ConnectTimeout("timed out"),
    "no free connection": httpx.PoolTimeout("timed out"),
    "no way through the proxy": httpx.ProxyError("502 Bad Gateway"),
}
PERHAPS_SENT: dict[str, Answer] = {
    "cut while sending": httpx.WriteError("[Errno 32] Broken pipe"),
    "too slow to take it": httpx.WriteTimeout("timed out"),
    "cut before the answer": httpx.ReadError("[Errno 104] Connection reset by peer"),
    "no answer in time": httpx.ReadTimeout("timed out"),
    "cut in the answer": httpx.RemoteProtocolError("peer closed connection"),
    "cannot be unpacked": httpx.Response(
        200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"not gzip")
    ),
    "408": status(408),
    "500": status(500),
    "500 with words": status(500, [{"$message": "An unexpected error", "$source": ""}]),
    "502": status(502),
    "503": status(503),
    "504": status(504),
    "599": status(599),
    "a page for people": httpx.Response(200, text=HTML),
    "half a document": httpx.Response(200, text='{"id": "1'),
    "nothing at all": httpx.Response(200),
}
REDIRECT: dict[str, Answer] = {"a redirect": status(302, Location="https://evil.test/contacts")}


def cases(troubles: Mapping[str, Answer]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("trouble", list(troubles.values()), ids=list(troubles))


# --- reads


@cases({**NOTHING_SENT, **PERHAPS_SENT})
def test_a_read_is_tried_again_after_trouble(connect: Connect, trouble: Answer) -> None:
    line = connect(trouble, ok())

    assert line.get() == {"id": "1"}
    assert line.sent == [f"GET {BASE}/contacts"] * 2
    assert line.time.sleeps == [0.5]


@cases({**NOTHING_SENT, **PERHAPS_SENT})
def test_a_read_is_given_up_after_five_attempts(connect: Connect, trouble: Answer) -> None:
    line = connect(trouble)

    with pytest.raises(PsageError) as caught:
        line.get()

    assert type(caught.value) is (
        NetworkDown if trouble in NOTHING_SENT.values() else ServiceUnavailable
    )
    assert caught.value.exit_code == 5
    assert caught.value.hint
    assert len(line.sent) == 5
    assert line.time.sleeps == [0.5, 1.0, 2.0, 4.0]


def test_the_pauses_between_attempts_are_halved_at_most(connect: Connect) -> None:
    line = connect(status(503), jitter=0.0)

    with pytest.raises(ServiceUnavailable):
        line.get()

    assert line.time.sleeps == [0.25, 0.5, 1.0, 2.0]


def test_a_certificate_that_cannot_be_trusted_is_not_tried_again(connect: Connect) -> None:
    trouble = httpx.ConnectError("certificate verify failed")
    trouble.__cause__ = ssl.SSLCertVerificationError("certificate verify failed: self-signed")
    line = connect(trouble)

    with pytest.raises(NetworkDown, match="self-signed"):
        line.get()

    assert len(line.sent) == 1


def test_the_operating_systems_words_are_passed_on(connect: Connect) -> None:
    trouble = httpx.ConnectError("all attempts failed")
    trouble.__cause__ = OSError(101, "Network is unreachable")
    line = connect(trouble)

    with pytest.raises(NetworkDown, match=r"Sage cannot be reached: .*Network is unreachable"):
        line.get()


# --- writes


@cases(NOTHING_SENT)
def test_a_write_is_tried_again_where_nothing_was_sent(connect: Connect, trouble: Answer) -> None:
    line = connect(trouble, trouble, ok())

    assert line.post() == {"id": "1"}
    assert len(line.sent) == 3
    bodies = {request.content for request in line.wire.requests}
    assert bodies == {json.dumps(BODY, ensure_ascii=False).encode()}


@cases(NOTHING_SENT)
def test_a_write_that_never_left_is_a_network_failure(connect: Connect, trouble: Answer) -> None:
    line = connect(trouble)

    with pytest.raises(NetworkDown, match="cannot be reached") as caught:
        line.post()

    assert len(line.sent) == 5
    assert "nothing was sent" in str(caught.value.hint)


@cases({**PERHAPS_SENT, **REDIRECT})
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_that_may_have_been_done_is_never_repeated(
    connect: Connect, method: str, trouble: Answer
) -> None:
    line = connect(trouble)

    with pytest.raises(OutcomeUnknown, match="may have been done or not"):
        line.http.write(method, "/contacts", BODY, unrecorded)

    assert line.sent == [f"{method} {BASE}/contacts"]
    assert line.time.sleeps == []


@cases({**PERHAPS_SENT, **REDIRECT})
def test_a_form_that_may_have_been_taken_is_never_repeated(
    connect: Connect, trouble: Answer
) -> None:
    line = connect(trouble)

    with pytest.raises(OutcomeUnknown):
        line.http.post_form("/token", {"refresh_token": "once"})

    assert len(line.sent) == 1


@pytest.mark.parametrize("code", [500, 503, 408, 302])
def test_an_unknown_outcome_tells_which_status_there_was(connect: Connect, code: int) -> None:
    line = connect(status(code))

    with pytest.raises(OutcomeUnknown) as caught:
        line.post()

    assert caught.value.details["status"] == code


def test_an_unknown_outcome_without_an_answer_has_no_status(connect: Connect) -> None:
    line = connect(httpx.ReadTimeout("timed out"))

    with pytest.raises(OutcomeUnknown) as caught:
        line.post()

    assert caught.value.details["status"] == 0


# --- a definite no


@pytest.mark.parametrize("code", [400, 403, 404, 405, 410, 413, 415, 422, 451])
@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
def test_a_refusal_is_final_and_in_the_services_words(
    connect: Connect, send: Callable[[Line], Any], code: int
) -> None:
    words = [
        {"$message": "There were some errors", "$source": ""},
        {"$message": "is not for sales", "$source": "sales_invoice.ledger_account_id"},
    ]
    line = connect(status(code, words, x_request_id="7f3c"))

    with pytest.raises(RefusedBySage) as caught:
        send(line)

    error = caught.value
    assert "is not for sales [sales_invoice.ledger_account_id]" in error.message
    assert f"({code})" in error.message
    assert "(request 7f3c)" in error.message
    assert error.fields == ("sales_invoice.ledger_account_id",)
    assert error.status == code
    assert error.exit_code == 4
    assert len(line.sent) == 1


REASON = {"$message": "is not for sales", "$source": "invoice_lines.ledger_account_id"}


@pytest.mark.parametrize(
    "document",
    [
        [REASON],
        REASON,
        {"errors": [REASON]},
        {"errors": REASON},
        {"error": REASON},
        {"$message": "There were errors", "errors": [REASON]},
        [{"message": REASON["$message"], "$source": REASON["$source"]}],
        {"message": REASON["$message"], "source": REASON["$source"]},
        {"errors": {REASON["$source"]: [REASON["$message"]]}},
    ],
    ids=repr,
)
def test_the_words_of_a_refusal_are_found_however_they_are_wrapped(
    connect: Connect, document: Any
) -> None:
    line = connect(httpx.Response(422, json=document))

    with pytest.raises(RefusedBySage) as caught:
        line.post()

    assert "is not for sales [invoice_lines.ledger_account_id]" in caught.value.message
    assert caught.value.fields == ("invoice_lines.ledger_account_id",)


def test_a_refusal_without_words_gives_the_reason_phrase(connect: Connect) -> None:
    line = connect(status(403))

    with pytest.raises(RefusedBySage, match=r"refused GET /contacts: Forbidden \(403\)") as caught:
        line.get()

    assert "<h1>" not in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        [{"$dataCode": "Unauthorized", "$message": "No active subscription. (MSE)", "$source": ""}],
        [{"$dataCode": "AuthorizationFailure", "$message": "Not authorised", "$source": ""}],
        {"message": "No active subscription"},
    ],
)
def test_a_dead_subscription_is_renewed_for_once_and_never_again(
    connect: Connect, body: object
) -> None:
    line = connect(httpx.Response(401, json=body), lapsed=_lapsed)

    for _ in range(3):
        with pytest.raises(NoSubscription) as caught:
            line.get()

        assert "psage connect" not in f"{caught.value.message} {caught.value.hint}"
    assert line.tokens.renewals == 1
    assert len(line.sent) == 4


def test_the_request_id_is_found_under_its_other_spelling(connect: Connect) -> None:
    line = connect(httpx.Response(422, headers={"X_REQUEST_ID": "9a1b"}, json=[]))

    with pytest.raises(RefusedBySage, match=r"\(request 9a1b\)"):
        line.post()


@pytest.mark.parametrize(
    "document",
    [None, [], {}, 3, "no", [None], ["no"], [{"$message": None}], {"error": None}],
    ids=repr,
)
def test_a_refusal_in_a_shape_nobody_foresaw_is_a_refusal_all_the_same(
    connect: Connect, document: Any
) -> None:
    line = connect(httpx.Response(422, json=document))

    with pytest.raises(RefusedBySage, match="422"):
        line.post()


# --- answers that are too much


def packed(content: bytes, how: str = "gzip") -> httpx.Response:
    stream = httpx.ByteStream(gzip.compress(content))
    return httpx.Response(200, headers={"content-encoding": how}, stream=stream)


def test_a_packed_answer_is_unpacked(connect: Connect) -> None:
    assert connect(packed(b'{"id": "1"}')).get() == {"id": "1"}


@pytest.mark.parametrize(
    "trouble",
    [
        packed(b"[" + b" " * 10_000_000),
        httpx.Response(200, stream=httpx.ByteStream(b"[" + b" " * 200_000)),
        packed(gzip.compress(b"[]"), "gzip, gzip"),
        packed(b"[]", "br"),
        httpx.Response(
            200,
            headers={"content-encoding": "gzip"},
            stream=httpx.ByteStream(gzip.compress(b"[]" + b" " * 9999)[:-9]),
        ),
    ],
    ids=["a bomb", "too long", "packed twice", "packed in another way", "cut off"],
)
def test_an_answer_that_cannot_be_unpacked_within_its_limit_is_none(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, trouble: Answer
) -> None:
    monkeypatch.setattr(answers, "LARGEST_ANSWER", 100_000)

    with pytest.raises(ServiceUnavailable, match="broke off"):
        connect(trouble).get()
    with pytest.raises(OutcomeUnknown, match="broke off"):
        connect(trouble).post()


class Drip(socketserver.BaseRequestHandler):
    """Sends what it has byte by byte, without ever coming to an end."""

    head = b""

    def handle(self) -> None:
        self.request.recv(65_536)
        with suppress(OSError):
            self.request.sendall(self.head)
            while True:
                self.request.sendall(b"a")
                time.sleep(0.02)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long: "],
    ids=["its body", "its headers"],
)
def test_a_request_has_one_deadline_however_slowly_its_answer_drips(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(Drip, "head", head)
    with (
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip) as server,
        connect_pool(Timing(sleep=lambda seconds: None, deadline_s=0.2)) as pool,
    ):
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        http = Http(
            pool,
            f"http://127.0.0.1:{server.server_address[1]}",
            refused=RefusedBySage,
            explain=words_of,
        )

        with pytest.raises(ServiceUnavailable, match="no whole answer in"):
            http.get("/contacts", tries=1)
        with pytest.raises(OutcomeUnknown, match="no whole answer in"):
            http.write("POST", "/contacts", BODY, unrecorded)
        server.shutdown()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 60 + "1" + "}" * 60,
        '{"id": NaN}',
        '{"id": -Infinity}',
        '{"id": 1e99999999999999999999}',
        f'{{"id": {"9" * 5000}}}',
        "\ud83d",
    ],
    ids=["deep", "rather deep", "NaN", "Infinity", "huge exponent", "long number", "half a text"],
)
def test_json_nobody_can_work_with_is_no_json(connect: Connect, text: str) -> None:
    answer = httpx.Response(200, content=text.encode(errors="surrogatepass"))

    with pytest.raises(ServiceUnavailable, match="not with JSON"):
        connect(answer).get()
    with pytest.raises(OutcomeUnknown, match="not with JSON"):
        connect(answer).post()


UNSEEN = [chr(n) for n in (*range(32), *range(0x7F, 0xA0), 0x200B, 0x200E, 0x200F, 0xFEFF)]
UNSEEN += [chr(n) for n in (*range(0x202A, 0x202F), *range(0x2060, 0x206A), 0xD83D)]


def test_texts_are_cleaned_where_they_are_read(connect: Connect) -> None:
    osc, direction = "\x1b]52;c;aGk=\x07", "\u202e"
    document = {"name": f"In{osc}voice", f"k{direction}": [f"a{direction}b\x9b2Jc", "\ud83d"]}
    text = json.dumps(document)

    read = connect(httpx.Response(200, content=text)).get()

    shown = json.dumps(read, ensure_ascii=False)
    assert not set(shown) & set(UNSEEN)
    assert read["name"] == "In]52;c;aGk=voice"
    assert read["k"][0].startswith("ab")


def test_words_of_a_refusal_are_cleaned_and_not_endless(connect: Connect) -> None:
    answer = httpx.Response(422, json=[{"$message": "\x1b[2J" + "x" * 100_000}])

    with pytest.raises(RefusedBySage) as caught:
        connect(answer).post()

    assert len(caught.value.message) < 1200
    assert not set(caught.value.message) & set(UNSEEN)


def test_what_joins_letters_and_emojis_stays(connect: Connect) -> None:
    document = {"name": "👩‍💻 شرکت‌ها שלום"}

    assert connect(ok(document)).get() == document


def test_a_defect_of_ours_is_not_told_as_the_services(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(line: Http) -> None:
        raise KeyError("typo")

    monkeypatch.setattr(Http, "_pace", broken)
    client = SageClient(connect(ok({"$items": []})).http, "")

    with pytest.raises(RuntimeError, match="typo"):
        client.businesses()


# --- what nothing can be sent with


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere/certificates.pem"),
        ("HTTPS_PROXY", "gopher://user:s3cret@proxy.test"),
        ("HTTPS_PROXY", "http://user:s3cret@[::1"),
        ("ALL_PROXY", "socks5://user:s3cret@proxy.test"),
    ],
)
def test_an_environment_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigInvalid, match=variable) as caught:
        connect_pool(Timing()).__enter__()

    assert caught.value.exit_code == 2
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("address", ["https://sage..test", f"https://{'x' * 70}.test"])
def test_an_address_nobody_can_reach_is_a_setting_to_correct(address: str) -> None:
    with connect_pool(Timing()) as pool:
        http = Http(pool, address, refused=RefusedBySage, explain=words_of)

        with pytest.raises(ConfigInvalid, match="cannot be used"):
            http.get("/contacts")
        with pytest.raises(ConfigInvalid, match="cannot be used"):
            answer_of(pool, address)


def test_a_next_page_that_is_no_address_is_the_services_fault(connect: Connect) -> None:
    line = connect(ok())

    with pytest.raises(ServiceUnavailable, match="which is no address"):
        line.http.get(f"{BASE}/contacts\x00")


def test_a_text_of_half_characters_is_not_sent(connect: Connect) -> None:
    line = connect(ok())

    with pytest.raises(UsageProblem, match="cannot be sent"):
        line.http.write("POST", "/contacts", {"name": "\udc80"}, unrecorded)
    with pytest.raises(UsageProblem, match="cannot be sent"):
        line.http.get("/contacts", {"search": "\udc80"})

    assert line.sent == []


# --- 401


@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
def test_a_refused_token_is_renewed_and_the_request_repeated(
    connect: Connect, send: Callable[[Line], Any]
) -> None:
    line = connect(status(401), ok())

    assert send(line) == {"id": "1"}
    tokens = [request.headers["authorization"] for request in line.wire.requests]
    assert tokens == ["Bearer 1", "Bearer 2"]
    assert len({request.content for request in line.wire.requests}) == 1


@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
def test_a_token_is_renewed_once_and_never_in_a_loop(
    connect: Connect, send: Callable[[Line], Any]
) -> None:
    line = connect(status(401))

    with pytest.raises(SignInExpired) as caught:
        send(line)

    assert len(line.sent) == 2
    assert line.tokens.renewals == 1
    assert caught.value.hint == "run `psage connect sage`"


def test_a_token_is_renewed_once_even_with_other_trouble_between(connect: Connect) -> None:
    line = connect(status(401), status(503), status(401))

    with pytest.raises(SignInExpired):
        line.get()

    assert len(line.sent) == 3
    assert line.tokens.renewals == 1


def test_the_next_request_may_renew_again(connect: Connect) -> None:
    line = connect(status(401), ok(), status(401), ok())

    line.get()
    line.get()

    assert line.tokens.renewals == 2


def test_where_nothing_can_be_renewed_the_first_401_is_the_last(connect: Connect) -> None:
    line = connect(status(401), renewable=False)

    with pytest.raises(SignInExpired):
        line.get()

    assert len(line.sent) == 1


def test_a_failing_renewal_is_the_failure(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Tokens, refused: Mapping[str, str]) -> bool:
        raise SignInExpired("Sage", "revoked")

    monkeypatch.setattr(Tokens, "renew", fail)
    line = connect(status(401))

    with pytest.raises(SignInExpired, match="revoked"):
        line.post()

    assert len(line.sent) == 1


# --- 429


@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"X-RateLimit-Reset": "9"}, 9.0),
        ({"Retry-After": "7", "X-RateLimit-Reset": "9"}, 7.0),
        ({"Retry-After": "60"}, 60.0),
        ({"Retry-After": "0"}, 0.0),
        ({}, 60.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60.0),
        ({"Retry-After": "-5"}, 60.0),
        ({"Retry-After": ""}, 60.0),
    ],
    ids=str,
)
def test_a_pause_the_service_asks_for_is_kept_in_full(
    connect: Connect, send: Callable[[Line], Any], headers: dict[str, str], wait_s: float
) -> None:
    line = connect(httpx.Response(429, headers=headers, text=HTML), ok())

    assert send(line) == {"id": "1"}
    assert line.time.sleeps == [wait_s]
    assert len(line.sent) == 2


@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
def test_a_pause_beyond_the_budget_is_for_the_next_run(
    connect: Connect, send: Callable[[Line], Any]
) -> None:
    line = connect(status(429, Retry_After="61"))

    with pytest.raises(RateLimited, match="pause of 61 s") as caught:
        send(line)

    assert caught.value.exit_code == 5
    assert line.time.sleeps == []
    assert len(line.sent) == 1


@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
def test_pauses_add_up_to_a_minute_at_most(connect: Connect, send: Callable[[Line], Any]) -> None:
    line = connect(status(429, Retry_After="25"))

    with pytest.raises(RateLimited):
        send(line)

    assert line.time.sleeps == [25.0, 25.0]


@pytest.mark.parametrize("send", [Line.get, Line.post], ids=["read", "write"])
def test_short_pauses_end_after_five_attempts(
    connect: Connect, send: Callable[[Line], Any]
) -> None:
    line = connect(status(429, Retry_After="1"))

    with pytest.raises(RateLimited):
        send(line)

    assert len(line.sent) == 5


def test_pauses_and_other_trouble_share_one_budget(connect: Connect) -> None:
    line = connect(status(429, Retry_After="59"), status(503))

    with pytest.raises(ServiceUnavailable):
        line.get()

    assert line.time.sleeps == [59.0, 1.0]
    assert sum(line.time.sleeps) <= BUDGET_S


def test_a_write_lost_after_a_pause_is_unknown(connect: Connect) -> None:
    line = connect(status(429, Retry_After="1"), httpx.ReadTimeout("timed out"), ok())

    with pytest.raises(OutcomeUnknown):
        line.post()

    assert len(line.sent) == 2


# --- dry runs, other hosts


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_dry_run_sends_nothing_but_reads(connect: Connect, method: str) -> None:
    line = connect(ok(), read_only=True)

    assert line.get() == {"id": "1"}
    with pytest.raises(ReadOnlyRun):
        line.http.write(method, "/contacts", BODY, unrecorded)
    with pytest.raises(ReadOnlyRun):
        line.http.post_form("/upload", {}, file=("a.pdf", b"%PDF", "application/pdf"))
    assert line.sent == [f"GET {BASE}/contacts"]


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.test/v3.1/contacts?page=2",
        "http://sage.test/v3.1/contacts?page=2",
        "https://sage.test:8443/v3.1/contacts",
        "https://sage.test.evil.test/contacts",
        "https://sage.test@evil.test/contacts",
        "https://sage.test\\@evil.test/contacts",
        "HTTPS://EVIL.TEST/contacts",
        "ftp://sage.test/contacts",
        "://evil.test/contacts",
    ],
)
def test_a_link_to_another_host_is_not_followed(connect: Connect, address: str) -> None:
    line = connect(ok())

    with pytest.raises(ServiceUnavailable, match="pointed to another host"):
        line.http.get(address)
    with pytest.raises(ServiceUnavailable, match="pointed to another host"):
        line.http.write("POST", address, BODY, unrecorded)
    assert line.sent == []


def test_a_link_to_the_same_host_is_followed(connect: Connect) -> None:
    line = connect(ok())

    line.http.get("https://sage.test/v3.1/contacts?page=2")

    assert line.sent == ["GET https://sage.test/v3.1/contacts?page=2"]


def test_a_path_that_mentions_an_address_is_still_a_path(connect: Connect) -> None:
    line = connect(ok())

    line.http.get("/contacts?search=http://northwind.test&page=2")

    assert line.sent == [f"GET {BASE}/contacts?search=http://northwind.test&page=2"]


@pytest.mark.parametrize("path", ["//evil.test/contacts", "/@evil.test"])
def test_a_path_cannot_leave_the_host(connect: Connect, path: str) -> None:
    line = connect(ok())

    line.http.get(path)

    assert [request.url.host for request in line.wire.requests] == ["sage.test"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("send", "failure"),
    [(Line.get, ServiceUnavailable), (Line.post, OutcomeUnknown)],
    ids=["read", "write"],
)
def test_a_redirect_is_neither_followed_nor_tried_again(
    connect: Connect, send: Callable[[Line], Any], failure: type[PsageError], code: int
) -> None:
    line = connect(status(code, Location="https://evil.test/contacts"))

    with pytest.raises(failure):
        send(line)

    assert [request.url.host for request in line.wire.requests] == ["sage.test"]


def test_the_shared_pool_follows_no_redirect_and_has_a_time_limit() -> None:
    with connect_pool(Timing()) as pool:
        assert not pool.client.follow_redirects
        assert pool.client.timeout == httpx.Timeout(30.0, connect=10.0)


# --- what goes out and comes in


def test_numbers_with_a_point_become_decimal_and_never_float(connect: Connect) -> None:
    raw = b'{"net": 0.1, "rows": [{"rate": 20.0, "tiny": 1e-7}], "count": 3}'
    line = connect(httpx.Response(200, content=raw))

    document = line.get()

    assert document == {
        "net": Decimal("0.1"),
        "rows": [{"rate": Decimal("20.0"), "tiny": Decimal("1e-7")}],
        "count": 3,
    }
    assert type(document["net"]) is Decimal
    assert type(document["rows"][0]["tiny"]) is Decimal
    assert type(document["count"]) is int


@settings(deadline=None)  # a busy machine is no failure
@given(number=st.decimals(allow_nan=False, allow_infinity=False, min_value=-1, max_value=10**12))
def test_every_amount_arrives_exactly(number: Decimal) -> None:
    wire = Wire([httpx.Response(200, content=b'{"net": %s}' % f"{number:f}".encode())])
    with httpx.Client(transport=httpx.MockTransport(wire)) as client:
        http = Http(Pool(client, Timing()), BASE, refused=RefusedBySage, explain=words_of)
        net = http.get("/sales_invoices/1").document["net"]

    assert Decimal(net) == number
    assert not isinstance(net, float)


def test_a_file_is_handed_over_as_it_came(connect: Connect) -> None:
    line = connect(httpx.Response(200, content=b"%PDF-1.7 \xff"))

    reply = line.http.get("/sales_invoices/1", {"a": "b"}, accept="application/pdf")

    assert reply.body == b"%PDF-1.7 \xff"
    assert reply.document is None
    assert line.wire.requests[0].headers["accept"] == "application/pdf"
    assert line.wire.requests[0].url.query == b"a=b"


def test_an_answer_without_content_is_an_answer(connect: Connect) -> None:
    line = connect(httpx.Response(204))

    reply = line.http.write("DELETE", "/attachments/1", None, unrecorded)

    assert (reply.status, reply.document) == (204, None)
    assert "content-type" not in line.wire.requests[0].headers
    assert line.wire.requests[0].content == b""


def test_a_body_is_sent_as_utf_8_under_its_media_type(connect: Connect) -> None:
    line = connect(ok(), media_type="application/vnd.api+json")

    line.http.write("PATCH", "/invoices/1", BODY, unrecorded)

    (request,) = line.wire.requests
    assert request.headers["accept"] == "application/vnd.api+json"
    assert request.content == '{"contact": {"name": "Blåbær"}}'.encode()
    assert request.headers["content-type"] == "application/vnd.api+json"


def test_a_form_with_a_file_needs_no_json_in_reply(connect: Connect) -> None:
    line = connect(httpx.Response(201, headers={"Location": "https://s3.test/1"}, text="<ok/>"))

    reply = line.http.post_form("", {"key": "k"}, file=("a.pdf", b"%PDF", "application/pdf"))

    (request,) = line.wire.requests
    assert reply.headers["location"] == "https://s3.test/1"
    assert request.headers["content-type"].startswith("multipart/form-data")
    assert b"%PDF" in request.content


# --- the pace


def test_calls_are_spaced_to_the_window(connect: Connect) -> None:
    line = connect(ok(), limiter=Limiter((Window(2, 1.0),)))

    for _ in range(5):
        line.get()

    assert line.time.sleeps == [1.0, 1.0]


def test_a_second_try_costs_a_call_too(connect: Connect) -> None:
    line = connect(status(503), ok(), limiter=Limiter((Window(1, 10.0),)))

    line.get()

    assert line.time.sleeps == [0.5, 9.5]


# Steps of 1/1024 s are exact as floats, so the rule needs no tolerance.
_TICK = 1024
_windows = st.lists(
    st.builds(
        Window, st.integers(1, 8), st.integers(1, 20 * _TICK).map(lambda ticks: ticks / _TICK)
    ),
    min_size=1,
    max_size=3,
).map(tuple)
_gaps = st.lists(st.integers(0, 5 * _TICK).map(lambda ticks: ticks / _TICK), max_size=60)


@settings(deadline=None)  # a busy machine is no failure
@given(windows=_windows, gaps=_gaps)
def test_no_window_ever_holds_more_calls_than_allowed(
    windows: tuple[Window, ...], gaps: list[float]
) -> None:
    limiter, now, sent = Limiter(windows), 0.0, list[float]()

    for gap in gaps:
        now += gap
        now += limiter.book(now)
        sent.append(now)

    for window in windows:
        for first, beyond in zip(sent, sent[window.calls :], strict=False):
            assert beyond - first >= window.seconds


@settings(deadline=None)  # a busy machine is no failure
@given(windows=_windows, gaps=_gaps)
def test_nobody_waits_longer_than_the_windows_demand(
    windows: tuple[Window, ...], gaps: list[float]
) -> None:
    limiter, now, sent = Limiter(windows), 0.0, list[float]()

    for gap in gaps:
        now += gap
        wait_s = limiter.book(now)

        full = [w for w in windows if len([t for t in sent if t > now - w.seconds]) >= w.calls]
        assert (wait_s > 0) == bool(full)
        assert wait_s <= max((w.seconds for w in full), default=0)
        now += wait_s
        sent.append(now)


@pytest.mark.parametrize("windows", [(Window(1, 9.0), Window(1, 1.0)), (Window(2, 1.0),) * 2])
@pytest.mark.parametrize("turned", [False, True])
def test_the_strictest_window_decides(windows: tuple[Window, ...], turned: bool) -> None:
    limiter = Limiter(windows[::-1] if turned else windows)
    for _ in range(windows[0].calls):
        limiter.book(0.0)

    assert limiter.book(0.5) == windows[0].seconds - 0.5


def test_without_a_window_nobody_waits() -> None:
    limiter = Limiter(())
    limiter.book(1.0)

    assert limiter.book(1.0) == 0


@settings(deadline=None)  # a busy machine is no failure
@given(windows=_windows, gaps=_gaps)
def test_places_given_to_several_at_once_keep_to_the_windows_too(
    windows: tuple[Window, ...], gaps: list[float]
) -> None:
    """As documents ask that are under way together: nobody waits for the place of another."""
    limiter, now, sent = Limiter(windows), 0.0, list[float]()

    for gap in gaps:
        now += gap
        sent.append(now + limiter.book(now))

    assert sent == sorted(sent)
    for window in windows:
        for first, beyond in zip(sent, sent[window.calls :], strict=False):
            assert beyond - first >= window.seconds


@settings(deadline=None)  # a busy machine is no failure
@given(attempt=st.integers(1, MAX_ATTEMPTS), jitter=st.floats(0, 1))
def test_a_backoff_lies_between_half_a_step_and_the_whole(attempt: int, jitter: float) -> None:
    step = 2 ** (attempt - 2)

    assert step / 2 <= backoff_s(attempt, lambda: jitter) <= step


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.floats(0, 100), max_size=20))
def test_however_long_the_pauses_the_limits_hold(pauses: list[float]) -> None:
    attempt, spent_s = 1, 0.0

    for wait_s in pauses:
        if not is_affordable(attempt=attempt, spent_s=spent_s, wait_s=wait_s):
            break
        attempt, spent_s = attempt + 1, spent_s + wait_s

    assert attempt <= 5
    assert spent_s <= 60.0


@pytest.mark.parametrize(
    ("attempt", "spent_s", "wait_s", "affordable"),
    [(4, 0.0, 60.0, True), (5, 0.0, 0.0, False), (1, 0.0, 60.1, False), (2, 50.0, 10.0, True)],
)
def test_the_limits_are_five_attempts_and_a_minute(
    attempt: int, spent_s: float, wait_s: float, affordable: bool
) -> None:
    assert is_affordable(attempt=attempt, spent_s=spent_s, wait_s=wait_s) is affordable
