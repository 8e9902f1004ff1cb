"""Documents and payments out of Productive's rows, with amounts in major units.

Amounts arrive in whole minor units. `_default` and `_normalized` variants are conversions into
other currencies and are never read.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from productive_sage import money
from productive_sage.errors import AmountsUnclear, Refused
from productive_sage.productive import parse
from productive_sage.productive.records import (
    Balance,
    Company,
    CreditedInvoice,
    Entry,
    Invoice,
    Payment,
)
from productive_sage.text import day, text_of, web_address


class Reader:
    """Reads rows; `minor_digits` says how many decimals a person has found a currency to have."""

    def __init__(self, minor_digits: Mapping[str, int]) -> None:
        self._minor_digits = dict(minor_digits)

    def invoice(
        self,
        row: dict[str, Any],
        included: parse.Included,
        lines: Iterable[tuple[dict[str, Any], parse.Included]],
    ) -> Invoice:
        """An invoice or credit note with its lines, in their order."""
        said = row["attributes"]
        currency = text_of(said.get("currency"))
        digits = self._digits(currency, said)
        company = parse.related(row, "company", included)
        attachment = parse.related(row, "attachment", included)
        if company is None:
            raise AmountsUnclear(f"invoice `{parse.names(row)[-1]}` has no company to bill")
        in_order = sorted(
            lines, key=lambda pair: (pair[0]["attributes"].get("position") or 0, int(pair[0]["id"]))
        )
        return Invoice(
            id=parse.identity_of(row["id"]),
            number=text_of(said.get("number")),
            currency=currency,
            invoiced_on=day(said.get("invoiced_on")),
            pay_on=day(said.get("pay_on")),
            is_finalised=parse.is_finalised(said),
            kind=parse.kind(row),
            company=parse.company(company),
            bill_to=parse.address(parse.related(row, "bill_to", included)),
            net=parse.minor(said, "amount", digits),
            tax=parse.minor(said, "amount_tax", digits, missing=0),
            discount_percent=parse.number(said.get("discount")),
            lines=tuple(parse.line(line, found, digits) for line, found in in_order),
            pdf_url=web_address(attachment["attributes"].get("url")) if attachment else None,
            export_id=text_of(said.get("export_id")) or None,
            purchase_order=text_of(said.get("purchase_order_number")),
            subject=text_of(said.get("subject")),
            credited=self.credited(parse.related(row, "parent_invoice", included)),
        )

    def credited(self, row: Mapping[str, Any] | None) -> CreditedInvoice | None:
        """The invoice a credit note credits; None where the answer does not hold it."""
        if row is None or not row["attributes"]:
            return None
        said = row["attributes"]
        currency = text_of(said.get("currency"))
        digits = self._digits(currency, said)
        net = parse.minor(said, "amount", digits)
        return CreditedInvoice(
            id=parse.identity_of(row["id"]),
            number=text_of(said.get("number")),
            currency=currency,
            net=net,
            gross=net + parse.minor(said, "amount_tax", digits, missing=0),
            export_id=text_of(said.get("export_id")) or None,
        )

    def balance(self, row: dict[str, Any]) -> Balance:
        """What an invoice asks for and what of it is paid."""
        said = row["attributes"]
        currency = text_of(said.get("currency"))
        digits = self._digits(currency, said)
        return Balance(
            invoice_id=parse.identity_of(row["id"]),
            number=text_of(said.get("number")),
            currency=currency,
            net=parse.minor(said, "amount", digits, missing=0),
            tax=parse.minor(said, "amount_tax", digits, missing=0),
            paid=parse.minor(said, "amount_paid", digits, missing=0),
            written_off=parse.minor(said, "amount_written_off", digits, missing=0),
            unpaid=parse.minor(said, "amount_unpaid", digits, missing=0),
            deleted_on=day(said.get("deleted_at")),
            export_id=str(said.get("export_id") or ""),
        )

    def payment(self, row: dict[str, Any], included: parse.Included) -> Payment:
        """A payment of an invoice."""
        said = row["attributes"]
        digits = self._digits(text_of(said.get("currency")), said)
        return Payment(
            id=parse.identity_of(row["id"]),
            invoice_id=parse.invoice_of(row, included),
            amount=parse.minor(said, "amount", digits),
            paid_on=day(said.get("paid_on")),
            written_off_on=day(said.get("written_off_on")),
            note=text_of(said.get("note")),
        )

    def entry(self, row: dict[str, Any], included: parse.Included) -> Entry:
        """A document as the list shows it, without lines."""
        said, balance = row["attributes"], self.balance(row)
        company = parse.related(row, "company", included)
        credited = parse.related(row, "parent_invoice", included)
        return Entry(
            id=balance.invoice_id,
            number=balance.number,
            kind=parse.kind(row),
            company=parse.company(company) if company else Company("", ""),
            invoiced_on=day(said.get("invoiced_on")),
            pay_on=day(said.get("pay_on")),
            is_finalised=parse.is_finalised(said),
            currency=balance.currency,
            total=balance.total,
            paid=balance.paid + balance.written_off,
            unpaid=balance.unpaid,
            net=balance.net,
            tax=balance.tax,
            paid_on=day(said.get("paid_on")),
            credits=parse.identity_of(credited["id"]) if credited else "",
            export_id=balance.export_id,
        )

    def minor(self, amount: Decimal, currency: str) -> int:
        """An amount as Productive counts it. Raises AmountsUnclear where it is no whole number."""
        digits = self._digits(currency, {"amount": amount})
        minor = amount.scaleb(digits)
        if minor != minor.to_integral_value():
            raise AmountsUnclear(f"{amount} {currency} is not a whole number of minor units")
        return int(minor)

    def _digits(self, currency: str, said: Mapping[str, Any]) -> int:
        """How many decimals Productive's amounts have in this currency.

        Productive says it counts cents; what that means for a currency without them, or with
        three decimals, is not documented, so a person must look once.
        """
        if currency in self._minor_digits:
            return self._minor_digits[currency]
        usual = money.digits(currency.upper())
        if usual == 2:
            return 2
        unit = f"1/{10**usual} {currency}" if usual else f"whole {currency}"
        count = money.parse(said.get("amount"))
        so, or_so = (money.text(count.scaleb(-one)) for one in (usual, 2))
        raise Refused(
            f"invoice `{said.get('number')}` is in {currency} and Productive says "
            f"`{said.get('amount')}`; whether that counts {unit} or hundredths is not "
            "documented, and psage does not guess",
            code="currency_unclear",
            hint="look at that amount in Productive: where it is "
            f"{so} {currency}, `psage configure --minor-digits {currency}={usual}`; where it is "
            f"{or_so} {currency}, `psage configure --minor-digits {currency}=2`",
        )
