"""The page at the end of the sign-in, in a real Chromium: what it says, and what it may do.

Chromium is driven over its debugging pipe, so nothing but the browser itself is needed. With
`PSAGE_SCREENSHOTS` set to a folder, the pages are left there as pictures.
"""

import base64
import json
import os
import re
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from productive_sage.sandbox import CLIENT_ID, CLIENT_SECRET, Sandbox
from tests.conftest import Psage, Result
from tests.harness.browser import MAIN, at_a_desk, free_port

_PATIENCE_S = 30
_PICTURES = os.environ.get("PSAGE_SCREENSHOTS")
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
_LAUNCHER = (
    "import os, sys\n"
    "os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4)\n"
    "os.execv(sys.argv[3], sys.argv[3:])\n"
)
"""Chromium reads commands from file descriptor 3 and answers on 4."""


class Chromium:
    """One page of a headless browser."""

    def __init__(self, program: str, folder: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Far from 3 and 4, or one would overwrite the other.
        ends = [os.dup(end) for end in (0, 0, commands, answers)][2:]
        command = [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCHER, *map(str, ends), *command],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self._heard = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        (page, *_) = self.do("Target.getTargets")["targetInfos"]
        attached = self.do("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.do(f"{domain}.enable")

    def close(self) -> None:
        self._session = None
        try:
            self.do("Browser.close")
            self._process.wait(_PATIENCE_S)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._commands)
            os.close(self._answers)

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Carry out a command; what happens meanwhile is kept in `events`."""
        answer = self._answer(method, params)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._last, "method": method, "params": params, **session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                return answer
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._heard:
            ready, _, _ = select.select([self._answers], [], [], _PATIENCE_S)
            piece = os.read(self._answers, 1 << 20) if ready else b""
            assert piece, "Chromium does not answer"
            self._heard += piece
        message, _, self._heard = self._heard.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives on the page; None while it is still loading."""
        answer = self._answer("Runtime.evaluate", {"expression": expression})
        if "navigated" in answer.get("error", {}).get("message", ""):
            return None
        return answer["result"]["result"].get("value")

    def until(self, expression: str) -> None:
        ends_at = time.monotonic() + _PATIENCE_S
        while not self.value(expression):
            assert time.monotonic() < ends_at, (expression, self.value("document.body.innerText"))
            time.sleep(0.05)

    def said(self, method: str) -> list[dict[str, Any]]:
        return [event["params"] for event in self.events if event["method"] == method]


@pytest.fixture(scope="module")
def running_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None or sys.platform != "linux":
        pytest.skip("there is no Chromium on this machine")
    browser = Chromium(program, tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def chromium(running_chromium: Chromium) -> Chromium:
    running_chromium.do("Page.navigate", url="about:blank")
    running_chromium.events.clear()
    return running_chromium


@pytest.fixture
def sign_in(
    offline: Sandbox, psage: Psage, chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run `connect sage`, with a person at Chromium who clicks one of the buttons.

    With `back` Sage sends the browser to an address made of the one it was opened with.
    """

    def run(
        button: str = "", colours: str = "light", back: Callable[[str], str] | None = None
    ) -> Result:
        people: list[threading.Thread] = []

        def person(address: str) -> None:
            chromium.do("Page.navigate", url=back(address) if back else address)
            if button:
                chromium.until(f"!!document.querySelector('#{button}')")
                chromium.value(f"document.querySelector('#{button}').click()")
            chromium.until("location.pathname == '/callback' && document.readyState == 'complete'")

        def opened(address: str) -> bool:
            people.append(threading.Thread(target=person, args=(address,), daemon=True))
            people[0].start()
            return True

        scheme = {"name": "prefers-color-scheme", "value": colours}
        chromium.do("Emulation.setEmulatedMedia", features=[scheme])
        monkeypatch.setattr("webbrowser.open", opened)
        at_a_desk(monkeypatch)
        result = psage(
            *("connect", "sage", "--client-id", CLIENT_ID, "--business", MAIN),
            *("--port", str(free_port())),
        )
        people[0].join(_PATIENCE_S)
        return result

    monkeypatch.setenv("PSAGE_SAGE_CLIENT_SECRET", CLIENT_SECRET)
    return run


def picture(chromium: Chromium, name: str) -> None:
    if _PICTURES:
        shot = chromium.do("Page.captureScreenshot")["data"]
        (Path(_PICTURES) / f"{name}.png").write_bytes(base64.b64decode(shot))


def colour(chromium: Chromium, selector: str, name: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 255."""
    said = chromium.value(f"getComputedStyle(document.querySelector('{selector}')).{name}")
    red, green, blue, *_ = (float(number) for number in re.findall(r"[\d.]+", said))
    return red, green, blue


def brightness(rgb: tuple[float, float, float]) -> float:
    """The relative luminance of WCAG, from 0 to 1."""
    parts = [value / 255 for value in rgb]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(chromium: Chromium, selector: str) -> float:
    """The contrast of a text with the card it stands on, from 1 to 21."""
    pair = (
        brightness(colour(chromium, selector, "color")),
        brightness(colour(chromium, "main", "backgroundColor")),
    )
    return (max(pair) + 0.05) / (min(pair) + 0.05)


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize(
    ("button", "code", "title", "words"),
    [
        ("allow", 0, "Signed in to Sage", "goes on in the terminal"),
        ("refuse", 3, "Not signed in", "Access was refused on Sage's page"),
        ("fail", 3, "Not signed in", "The application is not registered for this country"),
    ],
)
def test_the_page_says_what_happened_and_is_readable_in_light_and_dark(
    sign_in: Callable[..., Result],
    chromium: Chromium,
    colours: str,
    button: str,
    code: int,
    title: str,
    words: str,
) -> None:
    result = sign_in(button, colours)

    picture(chromium, f"{button}-{colours}")
    assert result.code == code
    assert chromium.value("document.title") == f"psage: {title}"
    text = chromium.value("document.body.innerText")
    assert words in text
    assert "You can close this window." in text
    ground = brightness(colour(chromium, "body", "backgroundColor"))
    assert ground > 0.8 if colours == "light" else ground < 0.05
    shown = ("h1", "p", ".close", "footer")
    assert {s: ratio for s in shown if (ratio := contrast(chromium, s)) < 4.5} == {}
    assert contrast(chromium, "svg") >= 3


def test_the_page_loads_nothing_runs_nothing_and_tells_nobody_where_it_was(
    sign_in: Callable[..., Result], chromium: Chromium, offline: Sandbox
) -> None:
    sign_in("allow")

    hosts = {
        event["request"]["url"].split("/")[2]
        for event in chromium.said("Network.requestWillBeSent")
        if event["request"]["url"].startswith("http")
    }
    here = chromium.value("location.host")
    assert hosts == {here, offline.sage_url.split("/")[2]}
    (answer,) = [
        event["response"]
        for event in chromium.said("Network.responseReceived")
        if event["response"]["url"].startswith(f"http://{here}/callback")
    ]
    headers = {name.lower(): value for name, value in answer["headers"].items()}
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "Python" not in headers["server"]
    # The style passed its own policy, and nothing else tried to; Sage's page is not psage's.
    logged = [event["entry"] for event in chromium.said("Log.entryAdded")]
    assert [one for one in logged if not str(one.get("url")).startswith(offline.sage_url)] == []
    assert chromium.value("document.querySelectorAll('script, img, a, form, iframe').length") == 0
    assert chromium.value("getComputedStyle(document.querySelector('main')).maxWidth") != "none"


def test_the_page_fits_a_narrow_window(sign_in: Callable[..., Result], chromium: Chromium) -> None:
    size = {"width": 320, "height": 480, "deviceScaleFactor": 1, "mobile": False}
    sign_in("refuse")

    chromium.do("Emulation.setDeviceMetricsOverride", **size)
    picture(chromium, "narrow")
    wide = chromium.value("document.documentElement.scrollWidth")
    chromium.do("Emulation.clearDeviceMetricsOverride")
    assert wide <= 320


def test_what_sage_says_is_text_on_the_page_and_nothing_else(
    sign_in: Callable[..., Result], chromium: Chromium
) -> None:
    words = "<script>document.title = 'taken over'</script><h2>Click here</h2>"

    def back(address: str) -> str:
        sent = parse_qs(urlsplit(address).query)
        answer = {"error": "server_error", "error_description": words, "state": sent["state"][0]}
        return f"{sent['redirect_uri'][0]}?{urlencode(answer)}"

    result = sign_in(back=back)

    assert result.code == 3
    assert words in chromium.value("document.body.innerText")
    assert chromium.value("document.title") == "psage: Not signed in"
    assert chromium.value("document.querySelectorAll('script, h2').length") == 0
