"""The sandbox as a test or a command holds it: start, stop, faults, calls, state."""

from __future__ import annotations

import base64
import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import asdict, fields
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .agency import Agency
from .bookkeeper import Bookkeeper
from .files import Files
from .productive import Productive
from .sage import Sage
from .seed import ORGANIZATION_ID, PRODUCTIVE_TOKEN, fill_productive, sage_state
from .server import Call, Clock, Desk, Listener, Record, Reply, Request, Switches
from .signin import SignIn

_SIGN_IN = ("/oauth2/", "/token", "/revoke")


class Sandbox(Switches):
    """Both services on three loopback ports, with their state and everything asked of them.

    The attributes of `Switches` are set on the handle itself (`sandbox.limits = 1000`).
    `bookkeeper` acts in Sage, `agency` in Productive; `sage` and `productive` show what is stored.
    """

    def __init__(
        self,
        port: int = 0,
        latency_ms: float = 0,
        state: str | Path | None = None,
        limits: float = 1.0,
    ) -> None:
        """Prepare the services; `port` N means N for Sage, N+1 for Productive, N+2 for files.

        `state` is a JSON file, read at the start if it exists and written by `stop`.
        """
        super().__init__(latency_ms=latency_ms, limits=limits)
        self._first_switches = {field.name: getattr(self, field.name) for field in fields(Switches)}
        self._port = port
        self._state = Path(state) if state else None
        self.clock = Clock()
        self._desk = Desk(self, self.clock)
        self._listeners: list[Listener] = []
        self.sign_in = SignIn(self, self.clock)
        self.sage = Sage(self, self.clock, self.sign_in)
        self.productive = Productive(
            self, self.clock, token=PRODUCTIVE_TOKEN, organization_id=ORGANIZATION_ID
        )
        self._files = Files(self, self.productive, PRODUCTIVE_TOKEN)
        self.bookkeeper = Bookkeeper(self.sage, self.clock)
        self.agency = Agency(self.productive, self, ORGANIZATION_ID)
        self._control_lock = threading.Lock()
        self.reset()
        if self._state and self._state.exists():
            self.load(json.loads(self._state.read_text(encoding="utf-8")))

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    # -- running ----------------------------------------------------------------------------

    def start(self) -> Self:
        """Listen; `OSError` when a port is taken."""
        ports = [self._port + n if self._port else 0 for n in range(3)]
        try:
            for port, locate in zip(
                ports, (self._at_sage, self._at_productive, self._at_files), strict=True
            ):
                self._listeners.append(Listener(port, self._desk, locate))
        except OSError:
            for listener in self._listeners:
                listener.server_close()
            self._listeners.clear()
            raise
        self.productive.base_url = self.productive_url
        self.productive.files_url = self._files.url = self.files_url
        self._files.elsewhere = self.sage_url
        for listener in self._listeners:
            listener.start()
        return self

    def stop(self) -> None:
        """Save the state, if a file was named, and close every connection."""
        if not self._listeners:
            return
        for listener in self._listeners:
            listener.stop()
        self._listeners.clear()
        if self._state:
            draft = self._state.with_suffix(".new")
            draft.write_text(json.dumps(self.dump()), encoding="utf-8")
            draft.replace(self._state)

    @property
    def sage_url(self) -> str:
        """Sage: the API below `/v3.1`, and the sign-in."""
        return self._listeners[0].url

    @property
    def productive_url(self) -> str:
        """Productive: the API below `/api/v2`."""
        return self._listeners[1].url

    @property
    def files_url(self) -> str:
        """Productive's file hosts: downloads, and uploads at `/upload`."""
        return self._listeners[2].url

    def environment(self) -> dict[str, str]:
        """Give the variables that point psage at this sandbox."""
        return {
            "PSAGE_SAGE_API_URL": f"{self.sage_url}/v3.1",
            "PSAGE_SAGE_AUTHORIZE_URL": f"{self.sage_url}/oauth2/auth/central?filter=apiv3.1",
            "PSAGE_SAGE_TOKEN_URL": f"{self.sage_url}/token",
            "PSAGE_SAGE_REVOKE_URL": f"{self.sage_url}/revoke",
            "PSAGE_PRODUCTIVE_API_URL": f"{self.productive_url}/api/v2",
            "PSAGE_PRODUCTIVE_FILES_URL": self.files_url,
            "PSAGE_PRODUCTIVE_UPLOAD_URL": f"{self.files_url}/upload",
        }

    def _at_sage(self, path: str) -> tuple[str, str, Callable[[Request], Reply]]:
        if path == "/_control":
            return "control", path, self._control
        if path.startswith(_SIGN_IN):
            return "auth", path, self.sign_in.handle
        if path.startswith("/v3.1/"):
            return "sage", path.removeprefix("/v3.1"), self.sage.handle
        return "sage", path, _nowhere

    def _at_productive(self, path: str) -> tuple[str, str, Callable[[Request], Reply]]:
        if path.startswith("/api/v2/"):
            return "productive", path.removeprefix("/api/v2"), self.productive.handle
        return "productive", path, _nowhere

    def _at_files(self, path: str) -> tuple[str, str, Callable[[Request], Reply]]:
        return "files", path, self._files.handle

    # -- state ------------------------------------------------------------------------------

    def reset(self) -> None:
        """Go back to the seed: data, grants, faults, log, clock, and the switches as first set."""
        for name, value in self._first_switches.items():
            setattr(self, name, value)
        self.clock.offset_s = 0.0
        self._desk.clear()
        self._desk.forget_late_work()
        self.sign_in.clear()
        sage, productive = pickle.loads(_seed())  # noqa: S301 - our own bytes, never from outside
        self.sage.load(sage)
        self.productive.load(productive)

    def dump(self) -> Record:
        """Give the whole state as JSON values."""
        with self.sage.lock, self.productive.lock:
            state = {
                "clock_offset_s": self.clock.offset_s,
                "sign_in": self.sign_in.data,
                "sage": self.sage.data,
                "productive": self.productive.data,
            }
            encoded: Record = _encode(state)
        return encoded

    def load(self, state: Record) -> None:
        """Take over a state that `dump` gave."""
        decoded: Record = _decode(state)
        self.clock.offset_s = decoded["clock_offset_s"]
        self.sign_in.data = decoded["sign_in"]
        self.sage.load(decoded["sage"])
        self.productive.load(decoded["productive"])

    def advance(self, seconds: float) -> None:
        """Move the services' clock: token lives, timestamps, idempotency, rate windows."""
        self.clock.offset_s += seconds
        self._desk.do_late_work()

    # -- faults and calls -------------------------------------------------------------------

    def fault(
        self,
        kind: str,
        *,
        service: str = "sage",
        method: str | None = None,
        path: str = "/",
        nth: int = 1,
        times: int = 1,
        status: int = 500,
        body: object = None,
        headers: dict[str, str] | None = None,
        seconds: float = 0,
    ) -> None:
        """Spoil matching requests, from the `nth` on, `times` times.

        Without doing the work: `status`, `cut_before`, `html`, `empty_page`; `cut_late` does it
        `seconds` later by the services' clock. After doing it:
        `status_after`, `cut_after`, `cut_mid`, `html_after`, `truncated`, and `field`, whose body
        `{"at": ["data", 0, "id"], "json": "null"}` says what JSON stands there (None: nothing).
        `slow` waits `seconds`, then works and answers. `service` is sage, productive, files or
        auth; `path` is a prefix or a pattern of the path without the version.
        """
        self._desk.add_fault(
            {
                "kind": kind,
                "service": service,
                "method": method,
                "path": path,
                "nth": nth,
                "times": times,
                "status": status,
                "body": body,
                "headers": headers or {},
                "seconds": seconds,
            }
        )

    def clear_faults(self) -> None:
        """Answer rightly again."""
        self._desk.clear_faults()

    def calls(
        self, service: str | None = None, method: str | None = None, path: str | None = None
    ) -> list[Call]:
        """List what was asked, oldest first; `path` is a prefix or a pattern."""
        return self._desk.calls(service, method, path)

    def clear_calls(self) -> None:
        """Forget what was asked."""
        self._desk.clear_calls()

    @property
    def posts_at_once(self) -> dict[str, int]:
        """Give the most POSTs that were under way at once, by service and resource."""
        return self._desk.posts_at_once

    # -- from another process ---------------------------------------------------------------

    def _control(self, request: Request) -> Reply:
        # A web page cannot send this header to another origin without being asked first.
        if request.method != "POST" or request.headers.get("x-sandbox-control") != "1":
            return Reply.of(403, {"error": "X-Sandbox-Control is missing"})
        try:
            order = json.loads(request.body)
            with self._control_lock:
                result = self._obey(str(order["do"]), order.get("args") or {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return Reply.of(400, {"error": f"{type(error).__name__}: {error}"})
        except Exception as error:  # noqa: BLE001 - a refusal of the service itself
            return Reply.of(422, {"error": f"{type(error).__name__}: {error}"})
        return Reply.of(200, {"result": result})

    def _obey(self, order: str, args: Any) -> object:
        actor, _, name = order.partition(".")
        if actor in {"bookkeeper", "agency"} and name and not name.startswith("_"):
            target = self.bookkeeper if actor == "bookkeeper" else self.agency
            return _shown(_call(getattr(target, name), args))
        match order:
            case "calls":
                return [_shown(asdict(call)) for call in _call(self.calls, args)]
            case "set":
                unknown = args.keys() - self._first_switches.keys()
                if unknown:
                    raise KeyError(*unknown)
                for switch, value in args.items():
                    setattr(self, switch, value)
                return None
            case "state":
                return self.dump()
            case "fault" | "clear_calls" | "reset" | "advance" | "environment":
                return _call(getattr(self, order), args)
        raise KeyError(order)


def _call(function: Callable[..., Any], args: Any) -> Any:
    return function(*args) if isinstance(args, list) else function(**args)


def _nowhere(request: Request) -> Reply:
    return Reply.of(404, {"error": f"no such address: {request.path}"})


@cache
def _seed() -> bytes:
    """Give the state at the start, frozen: thawing it is far quicker than computing it."""
    switches, clock = Switches(), Clock()
    productive = Productive(
        switches, clock, token=PRODUCTIVE_TOKEN, organization_id=ORGANIZATION_ID
    )
    fill_productive(productive)
    return pickle.dumps((sage_state(), productive.data))


def _encode(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _encode(inner) for name, inner in value.items()}
    return [_encode(inner) for inner in value] if isinstance(value, list) else value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"$decimal"}:
            return Decimal(value["$decimal"])
        if value.keys() == {"$bytes"}:
            return base64.b64decode(value["$bytes"])
        return {name: _decode(inner) for name, inner in value.items()}
    return [_decode(inner) for inner in value] if isinstance(value, list) else value


def _shown(value: object) -> object:
    """Turn a result into readable JSON values."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {name: _shown(inner) for name, inner in value.items()}
    return [_shown(inner) for inner in value] if isinstance(value, list | tuple) else value
