"""Every way psage can fail: one class per cause a person can act on.

Each class owns its stable `code` and its exit code; the sentence says what happened to which
document, the `hint` says what to do next, `details` carries the figures for `--json`.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Self


class PsageError(Exception):
    """A failure with a sentence for people, a code for scripts and an exit code for cron."""

    code: ClassVar[str] = "defect"
    exit_code: ClassVar[int] = 1
    stops_batch: ClassVar[bool] = False
    """True where the next document would only fail in the same way."""

    def __init__(
        self, message: str, *, hint: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def reworded(self, message: str) -> Self:
        """The same error with another sentence."""
        twin = Exception.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.message = message
        twin.args = (message,)
        return twin

    def as_json(self) -> dict[str, Any]:
        """The `error` object of the public JSON contract."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
        }


def code_of_a_look(error: PsageError) -> int:
    """The exit code of an error met by looking alone.

    Where a service refuses a mere look it is the sign-in that does not do, or a right of it.
    """
    return SignInExpired.exit_code if isinstance(error, Refused) else error.exit_code


# --- exit 2: usage and configuration


class UsageProblem(PsageError):
    """The command line does not make sense as it stands."""

    code = "usage"
    exit_code = 2


class ConfigInvalid(PsageError):
    """The settings file holds a value that is not allowed; all of them are listed at once."""

    code = "config_invalid"
    exit_code = 2
    stops_batch = True


class ItemInvalid(ConfigInvalid):
    """A line's service type is linked to an item that is gone from Sage, or not active there."""

    stops_batch = False


class NoDefaultLedger(PsageError):
    """The obligatory default ledger account is not set."""

    code = "no_default_ledger"
    exit_code = 2
    stops_batch = True

    def __init__(self) -> None:
        super().__init__(
            "no default ledger account is set, so psage cannot tell where to book a line",
            hint="set one with `psage configure --default-ledger CODE`, "
            "for example `psage configure --default-ledger 4000`",
        )


class InputNeeded(PsageError):
    """An answer is missing and there is nobody to ask."""

    code = "input_needed"
    exit_code = 2


class ClockWrong(PsageError):
    """The clock of this machine is so far off that it misjudges the lives of tokens."""

    code = "clock_wrong"
    exit_code = 2


class HomeUnusable(PsageError):
    """The home folder, or a file in it, cannot be read or written."""

    code = "home_unusable"
    exit_code = 2
    stops_batch = True


# --- exit 3: sign-in


class NotConnected(PsageError):
    """No sign-in is stored for a service."""

    code = "not_connected"
    exit_code = 3
    stops_batch = True

    def __init__(self, service: str) -> None:
        super().__init__(
            f"{service} is not connected", hint=f"run `psage connect {service.lower()}`"
        )


class SignInExpired(PsageError):
    """A service no longer accepts the stored sign-in."""

    code = "sign_in_expired"
    exit_code = 3
    stops_batch = True

    def __init__(self, service: str, why: str) -> None:
        super().__init__(
            f"the sign-in to {service} is no longer valid: {why}",
            hint=f"run `psage connect {service.lower()}`",
        )
        self.why = why


class SignInFailed(PsageError):
    """Connecting did not succeed; what was stored before is still valid."""

    code = "sign_in_failed"
    exit_code = 3


class RightsMissing(PsageError):
    """The sign-in holds, but may not do what psage needs."""

    code = "rights_missing"
    exit_code = 3


class KeyringUnavailable(PsageError):
    """The operating system's keyring is missing, locked or silent."""

    code = "keyring_unavailable"
    exit_code = 3
    stops_batch = True


# --- exit 4: refused, nothing was changed


class NoSubscription(PsageError):
    """Sage serves nothing for a business whose subscription is not active.

    It ends a batch as a dead sign-in does, but its exit code does not send anybody to sign in:
    there is a reason to read, and a person who has to pay.
    """

    code = "no_subscription"
    exit_code = 4
    stops_batch = True

    def __init__(self, words: str) -> None:
        super().__init__(
            f"Sage refuses everything about this business, though the sign-in is good: {words}",
            hint="see in Sage, as the owner of the business, whether its subscription is active, "
            "and have it renewed; signing in again changes nothing",
        )


class Refused(PsageError):
    """A rule of psage or a service's validation says no; nothing was changed."""

    code = "refused"
    exit_code = 4


class BackupUnusable(Refused):
    """A file is no backup of psage, is damaged, or was made by a newer psage."""

    code = "backup_unusable"


class NotConfirmed(Refused):
    """Somebody was asked, and did not say yes."""

    code = "not_confirmed"

    def __init__(self) -> None:
        super().__init__("not confirmed, so nothing was changed")


class NotFound(Refused):
    """No such document, as far as this sign-in can see."""

    code = "not_found"


class IsDraft(Refused):
    """Drafts are never copied."""

    code = "is_draft"


class IsCreditNote(Refused):
    """A credit note is not an invoice."""

    code = "is_credit_note"


class NotACreditNote(Refused):
    """An invoice is not a credit note."""

    code = "not_a_credit_note"


class InvoiceNotCopied(Refused):
    """The invoice that is meant has no copy in Sage."""

    code = "invoice_not_copied"


class PartialCredit(Refused):
    """The credit note does not credit the whole invoice."""

    code = "partial_credit"


class CopyOutdated(Refused):
    """The copy of the credited invoice is not what the credit note credits."""

    code = "copy_outdated"


class CustomerDiffers(Refused):
    """A credit note is for the customer of the invoice it credits, and for no other."""

    code = "customer_differs"


class NotAnInvoice(Refused):
    """What Productive sent is neither plainly an invoice nor a credit note."""

    code = "not_an_invoice"


class NumberAmbiguous(Refused):
    """Several Productive documents carry the number asked for."""

    code = "number_ambiguous"


class DocumentAmbiguous(Refused):
    """Digits are the id of one Productive document, and the number of another."""

    code = "document_ambiguous"


class DocumentElsewhere(Refused):
    """An address names a document of another organisation."""

    code = "document_elsewhere"


class AlreadyCopied(Refused):
    """The invoice has a copy and nobody said what to do about it."""

    code = "already_copied"


class AmbiguousCustomer(Refused):
    """Several Sage contacts may be the customer."""

    code = "ambiguous_customer"


class CustomerNotFound(Refused):
    """The customer named on the command line is not in Sage, or bills another currency."""

    code = "customer_not_found"


class AccountInvalid(Refused):
    """A line would be booked to a ledger account that is gone, or not for sales."""

    code = "ledger_account_invalid"


class CurrencyNotEnabled(Refused):
    """The business in Sage books no foreign currency."""

    code = "currency_not_enabled"


class DateInvalid(Refused):
    """A date that no document in these books can have, or two that contradict each other."""

    code = "date_invalid"


class AddressMissing(Refused):
    """Neither service has an address to bill to, and Sage books no document without one."""

    code = "address_missing"


class TaxRateInvalid(Refused):
    """The tax rate does not exist in Sage, is hidden, or is not valid on the document's date."""

    code = "tax_rate_invalid"


class CountryUnclear(Refused):
    """Nobody says where the customer is, and the default tax rate is for customers at home."""

    code = "country_unclear"


class TaxRuleUnknown(Refused):
    """The customer is abroad, and psage does not know which rate the country's rules want."""

    code = "tax_rule_unknown"


class NotRegisteredForTax(Refused):
    """The business is not registered for VAT, so that Sage takes no tax from it."""

    code = "not_registered_for_tax"


class TaxUnsupported(Refused):
    """The taxes of the business's country are not supported."""

    code = "tax_unsupported"


class NumberTaken(Refused):
    """Another document in Sage carries the number."""

    code = "number_taken"


class CopyLocked(Refused):
    """Sage lets nobody edit the copy any more."""

    code = "copy_locked"


class UpdateLapsed(Refused):
    """An update an earlier run began did not arrive, and can no longer be sent as it was."""

    code = "update_lapsed"


class AlreadyCredited(Refused):
    """The copy of the invoice has a living credit note already."""

    code = "already_credited"


class CopyUnclear(Refused):
    """It is not sure which document in Sage is the copy."""

    code = "copy_unclear"


class CopyGone(Refused):
    """The copy was voided or deleted in Sage."""

    code = "copy_gone"


class CopyIsDraft(Refused):
    """What Sage holds is a draft or a pro forma: it is not booked, and a second one may double."""

    code = "copy_is_draft"

    def __init__(self, what: str, *, number: str, status: str, sage_id: str) -> None:
        kind = "pro forma" if status == "PRO_FORMA" else "draft"
        super().__init__(
            f"{what} is a {kind} in Sage (`{number}`), which is not booked",
            hint=f"release the {kind} in Sage or delete it there, or take `PRD-…` out of its "
            "reference if it is no copy; then run this again",
            details={"sage_id": sage_id, "sage_number": number, "status": status},
        )


class CurrencyUnclear(Refused):
    """It is not known how Productive counts this currency, and a guess could be off by 100."""

    code = "currency_unclear"


class AmountsUnclear(Refused):
    """The figures Productive sent do not add up, or cannot be put into a Sage invoice."""

    code = "amounts_unclear"


class LedgerConflict(Refused):
    """The store says of a document what Sage contradicts."""

    code = "ledger_conflict"


class DifferentBusiness(Refused):
    """Another Sage business answered, or is connected, than the one the links belong to."""

    code = "different_business"
    stops_batch = True


class DifferentOrganization(Refused):
    """Another Productive organisation than the one the links belong to."""

    code = "different_organization"
    stops_batch = True


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
    exit_code = 130

    def __init__(
        self,
        message: str = "interrupted; every finished document is recorded",
        *,
        hint: str | None = "run the command again: what was under way is settled first",
    ) -> None:
        super().__init__(message, hint=hint)


class TooManyDeletes(Refused):
    """A run would remove more payments than it may."""

    code = "too_many_deletes"


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
    exit_code = 1


# --- exit 5: temporary


class Temporary(PsageError):
    """It may work later, unchanged."""

    exit_code = 5
    stops_batch = True


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


class DiskFull(Temporary):
    """There is no room to record what psage does, so it does nothing."""

    code = "disk_full"


# --- exit 6, 7 and 8


class SomeFailed(PsageError):
    """Documents of a batch failed for several reasons."""

    code = "some_failed"
    exit_code = 6


class TotalsDiffer(PsageError):
    """The copy is in Sage and recorded, but a figure is not the one that was planned."""

    code = "totals_differ"
    exit_code = 7


class BooksDiffer(PsageError):
    """Productive and Sage do not say the same of the documents that were compared."""

    code = "books_differ"
    exit_code = 7


class ChangedInSage(TotalsDiffer):
    """Somebody worked on the copy in Sage, and an update would undo that; nothing was written."""

    code = "changed_in_sage"


class CopiedTwice(TotalsDiffer):
    """Two living documents in Sage are copies of one: two machines made them at the same time."""

    code = "copied_twice"


class CustomerDoubled(TotalsDiffer):
    """Two contacts in Sage carry psage's mark of one company, so its account there is split."""

    code = "customer_doubled"


class HistoryBroken(PsageError):
    """A record of the audit log is not as psage wrote it, or is gone."""

    code = "history_broken"
    exit_code = 7

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
    exit_code = 8
