"""A document as Productive has it, shown before a person is asked about it."""

from productive_sage.productive.records import Invoice
from productive_sage.productive.richtext import plain_text
from productive_sage.terminal.render import err, fit, separated, sign

_LEAST = 20
"""So many columns a description needs to stand beside its amounts; with fewer it stands above."""


def show(invoice: Invoice) -> None:
    """Print on stderr whose a document is, when it is due, each line, and what it comes to."""
    console, currency = err(), invoice.currency
    due = f", due {invoice.pay_on}" if invoice.pay_on else ""
    name = f"{invoice.kind.name} {fit(invoice.number or invoice.id)}"
    console.print(f"{name} for {fit(invoice.company.name)}, dated {invoice.invoiced_on}{due}")
    by = sign("×", "x")
    rows = [
        (
            fit(plain_text(line.description) or line.service_name or line.service_type_name),
            f"{line.quantity.normalize():f} {by} {separated(line.unit_price, currency)}",
            separated(line.amount, currency),
        )
        for line in invoice.lines
    ]
    times, amounts = (max((len(row[n]) for row in rows), default=0) for n in (1, 2))
    room = console.width - times - amounts - 7
    for text, price, amount in rows:
        what = text.partition("\n")[0]
        if room < _LEAST:
            console.print(f"  {what}\n    {price} = {amount}")
            continue
        what = what if len(what) <= room else f"{what[: room - 3]}..."
        console.print(f"  {what:<{room}}  {price:>{times}}  {amount:>{amounts}}")
    tax = f"; with {separated(invoice.tax, currency)} tax in Productive" if invoice.tax else ""
    console.print(f"  {separated(invoice.net, currency)} {currency} net{tax}")
