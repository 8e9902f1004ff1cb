"""What nobody may see: the secrets of this run, and whatever looks like a secret.

All that leaves the program passes `redacted`: both streams, JSON, the log, what the store keeps of
the services' words. Secrets are told to it where they enter: from the keyring, the environment,
a person or Sage's sign-in page.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

GONE = "…"
_SHORTEST = 8
"""A shorter word would be missed in sentences that mean something else by it."""
_PART = 16
"""So many characters of a secret are as good as all: a line or a limit may have cut it."""

_whole: set[str] = set()
_parts: set[str] = set()


def forget() -> None:
    """Begin a run that knows no secret yet."""
    _whole.clear()
    _parts.clear()


def keep(*secrets: str) -> None:
    """Have these never shown, whole, in part or encoded."""
    for secret in secrets:
        if len(secret) >= _SHORTEST and secret not in _whole:
            forms, parts = _shapes_of(secret)
            _whole.update(forms)
            _parts.update(parts)


@lru_cache(maxsize=32)
def _shapes_of(secret: str) -> tuple[frozenset[str], frozenset[str]]:
    """The forms in which a secret may be written, and their parts."""
    import base64  # here, since `status` knows no secret

    raw = secret.encode(errors="replace")
    coded = base64.b64encode(raw).decode().rstrip("=")
    forms = frozenset({secret, quote(secret, safe="", errors="replace"), quote_plus(raw), coded})
    each = (form[at : at + _PART] for form in forms for at in range(len(form) - _PART + 1))
    return forms, frozenset(each)


def keep_environment(environment: Mapping[str, str]) -> None:
    """Learn the secrets that stand in the environment, for psage, the keyring or a proxy."""
    for name, value in environment.items():
        upper = name.upper()
        if upper.startswith(("PSAGE_", "KEYRING_PROPERTY_")) and upper.endswith(
            ("TOKEN", "SECRET", "KEY", "PASSWORD")
        ):
            keep(value.strip())
        elif upper.endswith(("_PROXY", "_URL")) and "@" in value:
            try:
                keep(password := urlsplit(value).password or "", unquote(password))
            except ValueError:  # no address, and shown as none
                continue


_NAMES = (
    r"[\w-]*(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|signature|credential|assertion"
    r"|code_verifier|(?<=[?&])code)"
)
_SHAPES = (
    # `user:password@host`, also where the password would end the address if it were one
    (("://",), r"(://)[^\s/?#\"'<>`]*@", rf"\1{GONE}@"),
    (("://",), r"(://)[^\s/?#@:\"'<>`]+:(?!\d{1,5}[/?#])[^\s\"'<>`]*@", rf"\1{GONE}@"),
    (
        ("authorization", "x-auth"),
        (
            r"(?i)((?:authorization|x-auth-token)[\\\"']*\s*[:=]\s*[\\\"']*)"
            r"((?:bearer|basic|token)\s+)?[^\s\"',;\\]+"
        ),
        rf"\1\2{GONE}",
    ),
    (("bearer",), r"(?i)(\bbearer\s+)(?=\S*\d)[\w.~+/=-]{8,}", rf"\1{GONE}"),
    (("=",), rf"(?i)({_NAMES}=[\"']?)[^\s\"'&,;<>)}}\]`]+", rf"\1{GONE}"),
    (('"', "'"), rf"(?i)([\\]*[\"']{_NAMES}[\\]*[\"']\s*:\s*[\\]*[\"'])[^\s\"'\\]+", rf"\1{GONE}"),
    (("eyj",), r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?", GONE),
)
"""What tells that a text may hold one, the pattern, and what is left of it."""
_ANY_HINT = re.compile(
    "|".join(re.escape(hint) for hints, *_ in _SHAPES for hint in hints), re.IGNORECASE
)


def redacted(text: str, also: Iterable[str] = ()) -> str:
    """The text without secrets; `also` are words of one request that are hidden in its answer."""
    for secret in sorted({*_whole, *also}, key=len, reverse=True):
        text = text.replace(secret, GONE)
    if _parts:
        text = re.sub(rf"[^\s\"'<>]{{{_PART},}}", _without_parts, text)
    if not _ANY_HINT.search(text):  # as in most
        return text
    lower = text.lower()
    for hints, pattern, left in _SHAPES:
        if any(hint in lower for hint in hints):
            text = re.sub(pattern, left, text)
    return text


def _without_parts(word: re.Match[str]) -> str:
    """A long word without what it shares with a secret."""
    text = word[0]
    hidden = set[int]()
    for at in range(len(text) - _PART + 1):
        if text[at : at + _PART] in _parts:
            hidden.update(range(at, at + _PART))
    shown = "".join("\0" if n in hidden else letter for n, letter in enumerate(text))
    return re.sub("\0+", GONE, shown) if hidden else text
