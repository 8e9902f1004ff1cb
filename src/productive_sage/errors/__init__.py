"""Every way psage can fail.

An error says what happened to which document; its `hint` says what to do next, `details` carries
the figures for `--json`. Its code says the rest, by the table in `causes`.

Most causes are only a code: `Refused("…", code="is_draft")`. A class of its own has what some
`except` catches, and what says its sentence itself.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from productive_sage.errors.causes import CAUSES


class PsageError(Exception):
    """A failure with a sentence for people, a code for scripts and an exit code for cron."""

    code: str = "defect"
    exit_code: int = 1
    stops_batch: bool = False

    def __init_subclass__(cls) -> None:
        """What the table says of the code of a class, where the class says nothing else."""
        own, cause = vars(cls), CAUSES[cls.code]
        cls.exit_code = own.get("exit_code", cause.exit_code)
        cls.stops_batch = own.get("stops_batch", cause.stops_batch)

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """`code` is one of `CAUSES` where the class has not said it."""
        super().__init__(message)
        if code:
            self.code = code
            self.exit_code, _, self.stops_batch = CAUSES[code]
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def reworded(self, message: str) -> Self:
        """The same error with another sentence."""
        other = Exception.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.message = message
        other.args = (message,)
        return other

    def as_json(self) -> dict[str, Any]:
        """The `error` object of the public JSON contract."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """The error that `as_json` gave; one of an unknown code is a mere refusal."""
        code = told["code"] if told["code"] in CAUSES else "refused"
        return cls(told["message"], code=code, hint=told["hint"], details=told["details"])


def code_of_a_look(error: PsageError) -> int:
    """The exit code of an error met by looking alone.

    Where a service refuses a mere look it is the sign-in that does not do, or a right of it.
    """
    return SignInExpired.exit_code if isinstance(error, Refused) else error.exit_code


# --- exit 2: usage and configuration


class UsageProblem(PsageError):
    """The command line does not make sense as it stands."""

    code = "usage"


class ConfigInvalid(PsageError):
    """The settings file holds a value that is not allowed; all of them are listed at once."""

    code = "config_invalid"


class ItemInvalid(ConfigInvalid):
    """A line's service type is linked to an item that is gone from Sage, or not active there."""

    stops_batch = False


class NoDefaultLedger(PsageError):
    """The obligatory default ledger account is not set."""

    code = "no_default_ledger"

    def __init__(self) -> None:
        super().__init__(
            "no default ledger account is set, so psage cannot tell where to book a line",
            hint="set one with `psage configure --default-ledger CODE`, "
            "for example `psage configure --default-ledger 4000`",
        )


class InputNeeded(PsageError):
    """An answer is missing and there is nobody to ask."""

    code = "input_needed"


class HomeUnusable(PsageError):
    """The home folder, or a file in it, cannot be read or written."""

    code = "home_unusable"


# --- exit 3: sign-in


class NotConnected(PsageError):
    """No sign-in is stored for a service."""

    code = "not_connected"

    def __init__(self, service: str) -> None:
        super().__init__(
            f"{service} is not connected", hint=f"run `psage connect {service.lower()}`"
        )


class SignInExpired(PsageError):
    """A service no longer accepts the stored sign-in."""

    code = "sign_in_expired"

    def __init__(self, service: str, why: str) -> None:
        super().__init__(
            f"the sign-in to {service} is no longer valid: {why}",
            hint=f"run `psage connect {service.lower()}`",
        )
        self.why = why


class SignInFailed(PsageError):
    """Connecting did not succeed; what was stored before is still valid."""

    code = "sign_in_failed"


class KeyringUnavailable(PsageError):
    """The operating system's keyring is missing, locked or silent."""

    code = "keyring_unavailable"


# --- exit 4: refused, nothing was changed


class NoSubscription(PsageError):
    """Sage serves nothing for a business whose subscription is not active.

    It ends a batch as a dead sign-in does, but its exit code does not send anybody to sign in:
    there is a reason to read, and a person who has to pay.
    """

    code = "no_subscription"

    def __init__(self, words: str) -> None:
        super().__init__(
            f"Sage refuses everything about this business, though the sign-in is good: {words}",
            hint="see in Sage, as the owner of the business, whether its subscription is active, "
            "and have it renewed; signing in again changes nothing",
        )


class Refused(PsageError):
    """A rule of psage or a service's validation says no; nothing was changed."""

    code = "refused"


class NotConfirmed(Refused):
    """Somebody was asked, and did not say yes."""

    code = "not_confirmed"

    def __init__(self) -> None:
        super().__init__("not confirmed, so nothing was changed")


class NotFound(Refused):
    """No such document, as far as this sign-in can see."""

    code = "not_found"


class CurrencyNotEnabled(Refused):
    """The business in Sage books no foreign currency."""

    code = "currency_not_enabled"


class DateInvalid(Refused):
    """A date that no document in these books can have, or two that contradict each other."""

    code = "date_invalid"


class TaxRateInvalid(Refused):
    """The tax rate does not exist in Sage, is hidden, or is not valid on the document's date."""

    code = "tax_rate_invalid"


class UpdateLapsed(Refused):
    """An update an earlier run began did not arrive, and can no longer be sent as it was."""

    code = "update_lapsed"


class CopiedAtOnce(PsageError):
    """Another computer copies the documents of a batch while this one does."""

    code = "copied_at_once"

    def __init__(self, label: str, productive_id: str) -> None:
        """`label` names a document that both have copied."""
        super().__init__(
            f"another computer copies the same documents at this moment: {label} was copied there "
            "too",
            hint="let one of the two end, then run the command again: it finds what is copied by "
            "then. What stands twice is named, here or there; void the one that was made later",
            details={"productive_id": productive_id},
        )


class CopyGone(Refused):
    """The copy was voided or deleted in Sage."""

    code = "copy_gone"


class CopyIsDraft(Refused):
    """What Sage holds is a draft or a pro forma: it is not booked, and a second one may double."""

    code = "copy_is_draft"

    def __init__(
        self, what: str, *, number: str, status: str, sage_id: str, name: str = ""
    ) -> None:
        """`name` is what `psage release` takes for it, where it does."""
        kind = "pro forma" if status == "PRO_FORMA" else "draft"
        release = f"release the {kind} in Sage"
        if name and kind == "draft":
            release = f"release the draft, with `psage release {name}` or in Sage,"
        super().__init__(
            f"{what} is a {kind} in Sage (`{number}`), which is not booked",
            hint=f"{release} or delete it there, or take `PRD-…` out of its "
            "reference if it is no copy; then run this again",
            details={"sage_id": sage_id, "sage_number": number, "status": status},
        )


class AmountsUnclear(Refused):
    """The figures Productive sent do not add up, or cannot be put into a Sage invoice."""

    code = "amounts_unclear"


class StoreConflict(Refused):
    """The store says of a document what Sage contradicts."""

    code = "ledger_conflict"


class PaymentSyncOff(Refused):
    """The settings do not let payments be synchronised."""

    code = "payment_sync_off"

    def __init__(self) -> None:
        super().__init__(
            "the payment sync is switched off in the settings",
            hint="switch it on with `psage configure --sync-payments --sync-payments-from DATE`",
        )


class Interrupted(PsageError):
    """Somebody stopped the run."""

    code = "interrupted"

    def __init__(
        self,
        message: str = "interrupted; every finished document is recorded",
        *,
        hint: str | None = "run the command again: what was under way is finished first",
    ) -> None:
        super().__init__(message, hint=hint)


class ServiceRefused(Refused):
    """A service said no, in its own words."""

    service: ClassVar[str] = ""

    @classmethod
    def of(cls, _status: int) -> "type[ServiceRefused]":
        """The class of a refusal with this HTTP status."""
        return cls

    def __init__(
        self,
        what: str,
        words: str,
        *,
        status: int,
        fields: tuple[str, ...] = (),
        request_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`what` was refused, with the service's `words`; `fields` are those it names."""
        details: dict[str, Any] = {"status": status}
        if fields:
            details["fields"] = list(fields)
        if request_id:
            details["request_id"] = request_id
        self.what = what
        self.words = f"{words} ({status})" + (f" (request {request_id})" if request_id else "")
        hints = {
            403: f"an administrator of {self.service} can give this sign-in the right it lacks",
            404: "it may have been deleted, or the configured address is not the service's API",
        }
        super().__init__(
            f"{self.service} refused {what}: {self.words}",
            hint=hints.get(status, f"mend it in {self.service} and run the command again"),
            details=details,
        )
        self.status = status
        self.fields = fields
        self.headers = headers or {}


class RefusedBySage(ServiceRefused):
    """Sage's validation, a missing role, or an unknown id."""

    code = "refused_by_sage"
    service = "Sage"

    @classmethod
    def of(cls, status: int) -> type[ServiceRefused]:
        """A 403 is about the person, any other refusal about the document."""
        return ForbiddenBySage if status == 403 else cls


class ForbiddenBySage(RefusedBySage):
    """Who signed in has a role without this right, or the edition does not have what was asked."""

    code = "rights_missing"
    exit_code = 4
    _ACCESS: ClassVar = {
        "/contact_allocations": "Full access to Sales, Purchases and Contacts",
        "/sales_": "Full or Restricted access to Sales",
        "/contact": "access to Contacts",
        "_settings": "access to Settings",
    }

    def __init__(self, what: str, words: str, **more: Any) -> None:
        super().__init__(what, words, **more)
        found = (access for path, access in self._ACCESS.items() if path in what)
        access = next(found, "the right it lacks")
        self.hint = (
            f"an administrator of Sage can give your user {access}; `psage doctor` tries what the "
            "sign-in may read, and tells the edition"
        )


class RefusedByProductive(ServiceRefused):
    """Productive's validation, a missing right, or an unknown id."""

    code = "refused_by_productive"
    service = "Productive"


class ReadOnlyRun(Refused):
    """A dry run was about to write: a defect of psage, stopped at the HTTP layer."""

    code = "defect"


# --- exit 5: temporary


class Temporary(PsageError):
    """It may work later, unchanged."""

    code = "service_unavailable"


class RateLimited(Temporary):
    """A service asks for a longer pause than this run will wait."""

    code = "rate_limited"


class ServiceUnavailable(Temporary):
    """A service answers with errors, or with something that is not its API."""

    code = "service_unavailable"


class NotShown(ServiceUnavailable):
    """Sage does not show a document that psage made, and has no record of its deletion."""


class NetworkDown(Temporary):
    """No connection could be made; nothing was sent."""

    code = "network"


class AnswerIncomplete(Temporary):
    """An answer contradicts another of the same service: something is missing from it."""

    code = "service_unavailable"
    stops_batch = False


class Locked(Temporary):
    """Another psage run works on this profile."""

    code = "locked"


# --- exit 6, 7 and 8


class TotalsDiffer(PsageError):
    """The copy is in Sage and recorded, but a figure is not the one that was planned."""

    code = "totals_differ"


class HistoryBroken(PsageError):
    """A record of the audit log is not as psage wrote it, or is gone."""

    code = "history_broken"

    def __init__(self, record: int, how: str) -> None:
        super().__init__(
            f"record {record} of the history {how}"
            + ("; those before it are whole" if record > 1 else ""),
            hint="look into a backup of psage's records from before; what was booked is in Sage "
            "and in Productive in any case",
            details={"record": record, "whole": record - 1},
        )


class OutcomeUnknown(PsageError):
    """A write was sent and no usable answer came back; the next run finds out."""

    code = "outcome_unknown"
