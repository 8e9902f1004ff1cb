"""What a text that leaves the program may not hold, and what it must keep."""

import base64
from urllib.parse import quote

import pytest

from productive_sage import redaction
from productive_sage.redaction import keep, keep_environment, redacted

TOKEN = "".join(f"{n:x}-" for n in range(500))


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    redaction.forget()


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("https://user:hunter2@host/x", "https://…@host/x"),
        ("https://user:hun@ter2@host/x", "https://…@host/x"),
        ("https://user:hun/ter2@host/x", "https://…@host/x"),
        ("socks5h://hunter2@host:1080", "socks5h://…@host:1080"),
        ("URL('http://user:hunter2@proxy:3128')", "URL('http://…@proxy:3128')"),
        ("Authorization: Bearer hunter2", "Authorization: Bearer …"),
        ('{"Authorization": "Bearer hunter2"}', '{"Authorization": "Bearer …"}'),
        ("{'authorization': 'Basic aHVudGVyMg=='}", "{'authorization': 'Basic …'}"),
        ("X-Auth-Token: hunter2", "X-Auth-Token: …"),
        ("the bearer hunter2-and-more is not known", "the bearer … is not known"),
        ("GET /file.pdf?token=hunter2&x=1", "GET /file.pdf?token=…&x=1"),
        ("/callback?code=hunter2&state=1", "/callback?code=…&state=1"),
        ("X-Amz-Signature=hunter2, x", "X-Amz-Signature=…, x"),
        ("PSAGE_SAGE_CLIENT_SECRET=hunter2", "PSAGE_SAGE_CLIENT_SECRET=…"),
        ('"refresh_token": "hunter2"', '"refresh_token": "…"'),
        (r'b"{\"access_token\": \"hunter2\"}"', r'b"{\"access_token\": \"…\"}"'),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl!", "…!"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, seen: str) -> None:
    assert redacted(text) == seen


@pytest.mark.parametrize(
    "text",
    [
        "https://user.example:8443/a@b?x=1",
        "http://127.0.0.1:8765/callback",
        "https://www.sageone.com/oauth2/auth/central?filter=apiv3.1&response_type=code&state=x",
        '`endpoints.sage_token = "ftp://sage.example"` must begin with https://',
        "pipe it in with `--token-stdin`, or set PSAGE_PRODUCTIVE_TOKEN",
        "the API token: copy it again",
        "a bearer is no carrier",
        "Basic subscriptions have no allocations",
        "billing@example.com",
        "INV-2026-023 (PRD-123).pdf",
        "0123456789abcdef0123456789abcdef",
        'KEYRING_PROPERTY_KEYRING_KEY="$(cat /etc/psage/keyring-key)"',
    ],
)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    keep(TOKEN)

    assert redacted(text) == text


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"not stored: {TOKEN!r}",
        f"cut off: {TOKEN[:40]}",
        f"the end of it: …{TOKEN[-40:]}",
        f"x{TOKEN[100:200]}x",
        quote(TOKEN + "/=", safe=""),
        base64.b64encode(TOKEN.encode()).decode(),
        f"a line\nand {TOKEN[:30]}\n{TOKEN[30:90]}",
    ],
)
def test_a_secret_of_this_run_is_not_shown_whole_or_in_part(text: str) -> None:
    keep(TOKEN)

    seen = redacted(text)

    assert "…" in seen
    for at in range(len(text) - 20):
        assert text[at : at + 20] not in seen or text[at : at + 20] not in TOKEN


def test_the_secrets_of_the_environment_are_known() -> None:
    keep_environment(
        {
            "PSAGE_PRODUCTIVE_TOKEN": "canary-one",
            "KEYRING_PROPERTY_KEYRING_KEY": "canary two of words",
            "KEYRING_PROPERTY_APPID": "an-application",
            "HTTPS_PROXY": "http://user:canary%2Dthree@proxy:3128",
            "http_proxy": "http://[",
            "OTHER_TOKEN": "somebody-elses",
        }
    )

    said = "canary-one, canary two of words, canary%2Dthree, canary-three, an-application"
    assert redacted(said) == "…, …, …, …, an-application"


def test_a_new_run_knows_nothing_of_the_last() -> None:
    keep("canary-one")
    redaction.forget()

    assert redacted("canary-one") == "canary-one"
