"""Every code of an error: its exit code, what it means, and whether a batch goes on."""

from typing import NamedTuple


class Cause(NamedTuple):
    """What a code stands for."""

    exit_code: int
    meaning: str
    stops_batch: bool = False
    """True where the next document would only fail in the same way."""


def _all_fail(exit_code: int, meaning: str) -> Cause:
    return Cause(exit_code, meaning, stops_batch=True)


CAUSES = {
    "defect": Cause(1, "psage has a mistake; details are in the log"),
    # --- usage and settings
    "usage": Cause(2, "the command line does not make sense as it stands"),
    "plan_invalid": Cause(2, "a file is no plan, was changed, or is for other books"),
    "config_invalid": _all_fail(2, "the settings file holds a value that is not allowed"),
    "no_default_ledger": _all_fail(2, "the obligatory default ledger account is not set"),
    "input_needed": Cause(2, "an answer is missing and there is nobody to ask"),
    "clock_wrong": Cause(2, "the clock of this machine is too far off for sign-ins to be judged"),
    "home_unusable": _all_fail(2, "the home folder, or a file in it, cannot be read or written"),
    # --- sign-in
    "not_connected": _all_fail(3, "no sign-in is stored for a service"),
    "sign_in_expired": _all_fail(3, "a service no longer accepts the stored sign-in"),
    "sign_in_failed": Cause(3, "connecting did not succeed; what was stored before still holds"),
    "rights_missing": Cause(3, "the sign-in holds, but may not do what psage needs"),
    "keyring_unavailable": _all_fail(3, "the system's keyring is missing, locked or silent"),
    # --- refused, nothing was changed
    "no_subscription": _all_fail(4, "the business's subscription of Sage is not active"),
    "refused": Cause(4, "a rule of psage says no"),
    "refused_by_sage": Cause(4, "Sage's validation says no, or it knows no such id"),
    "refused_by_productive": Cause(
        4, "Productive says no: validation, a missing right, no such id"
    ),
    "backup_unusable": Cause(4, "a file is no backup, is damaged, or was made by a newer psage"),
    "plan_changed": Cause(4, "a document, its copy or the settings changed since the plan"),
    "not_confirmed": Cause(4, "somebody was asked, and did not say yes"),
    "not_found": Cause(4, "no such document, as far as this sign-in can see"),
    "is_draft": Cause(4, "drafts are never copied"),
    "is_credit_note": Cause(4, "a credit note is not an invoice"),
    "not_a_credit_note": Cause(4, "an invoice is not a credit note"),
    "not_an_invoice": Cause(4, "Productive's document is plainly neither invoice nor credit note"),
    "invoice_not_copied": Cause(4, "the invoice that is meant has no copy in Sage"),
    "partial_credit": Cause(4, "the credit note does not credit the whole invoice"),
    "copy_outdated": Cause(4, "the credited invoice's copy is not what the credit note credits"),
    "customer_differs": Cause(4, "a credit note is for the customer of its invoice, no other"),
    "number_ambiguous": Cause(4, "several Productive documents carry the number asked for"),
    "document_ambiguous": Cause(4, "digits are the id of one document and the number of another"),
    "document_elsewhere": Cause(4, "an address names a document of another organisation"),
    "not_as_reported": Cause(4, "a document is not what a report says of it"),
    "already_copied": Cause(4, "the document has a copy and nobody said what to do about it"),
    "ambiguous_customer": Cause(4, "several Sage contacts may be the customer"),
    "customer_not_found": Cause(4, "the customer named is not in Sage, or bills another currency"),
    "customer_currency": Cause(4, "the contact to bill keeps another currency"),
    "ledger_account_invalid": Cause(4, "a line's ledger account is gone, or not for sales"),
    "currency_not_enabled": Cause(4, "the business in Sage books no foreign currency"),
    "currency_unclear": Cause(4, "it is not known how Productive counts this currency"),
    "date_invalid": Cause(4, "a date no document in these books can have, or two that contradict"),
    "address_missing": Cause(4, "neither service has an address to bill to, and Sage wants one"),
    "amounts_unclear": Cause(4, "Productive's figures do not add up, or do not go into Sage"),
    "tax_rate_invalid": Cause(
        4, "the tax rate is not in Sage, is hidden, or not valid on that day"
    ),
    "country_unclear": Cause(4, "nobody says where the customer is, and the rate depends on it"),
    "tax_rule_unknown": Cause(4, "the customer is abroad, and which rate that wants is not known"),
    "not_registered_for_tax": Cause(4, "the business is not registered for VAT: Sage takes none"),
    "tax_unmapped": Cause(4, "the settings do not say which rate stands for a line's tax"),
    "tax_not_exact": Cause(4, "the rates of the settings do not come to Productive's tax"),
    "tax_unsupported": Cause(4, "the taxes of the business's country are not supported"),
    "number_taken": Cause(4, "another document in Sage carries the number"),
    "copy_locked": Cause(4, "Sage lets nobody edit the copy any more"),
    "copy_unclear": Cause(4, "it is not sure which document in Sage is the copy"),
    "copy_gone": Cause(4, "the copy was voided or deleted in Sage"),
    "copy_is_draft": Cause(4, "what Sage holds is a draft or a pro forma, which is not booked"),
    "update_lapsed": Cause(4, "an earlier update did not arrive, and cannot be sent as it was"),
    "already_credited": Cause(4, "the copy of the invoice has a living credit note already"),
    "ledger_conflict": Cause(4, "psage's records say of a document what Sage contradicts"),
    "different_business": _all_fail(4, "another Sage business than the one the copies belong to"),
    "different_organization": _all_fail(4, "another Productive organisation than the copies' one"),
    "payment_sync_off": Cause(4, "the settings do not let payments be synchronised"),
    "too_many_deletes": Cause(4, "a run would remove more payments than it may"),
    # --- temporary: it may work later, unchanged
    "rate_limited": _all_fail(5, "a service asks for a longer pause than this run will wait"),
    "service_unavailable": _all_fail(5, "a service answers with errors, or not as its API"),
    "network": _all_fail(5, "no connection could be made; nothing was sent"),
    "locked": _all_fail(5, "another psage run works on this profile"),
    "copied_at_once": _all_fail(5, "another computer copies the same documents at this moment"),
    "disk_full": _all_fail(5, "there is no room to record what psage does, so it does nothing"),
    # --- the rest
    "some_failed": Cause(6, "documents of a batch failed for several reasons"),
    "totals_differ": Cause(7, "the copy is in Sage, but a figure is not the one that was planned"),
    "books_differ": Cause(7, "Productive and Sage do not say the same of what was compared"),
    "changed_in_sage": Cause(7, "somebody changed the copy in Sage, and an update would undo that"),
    "copied_twice": Cause(7, "two living documents in Sage are copies of one"),
    "customer_doubled": Cause(7, "two contacts in Sage carry psage's marker of one company"),
    "history_broken": Cause(7, "a record of the history is not as psage wrote it, or is gone"),
    "outcome_unknown": Cause(
        8, "a write was sent and no usable answer came; the next run finds out"
    ),
    "interrupted": Cause(130, "somebody stopped the run"),
}
"""Every code there is. Public: none changes its meaning."""
