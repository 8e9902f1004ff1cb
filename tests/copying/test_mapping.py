"""The pure part: tables for what was decided, Hypothesis for what must always hold."""

import html
import re
from dataclasses import replace
from datetime import date
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from productive_sage import markers
from productive_sage.copying import bodies, drafts, in_sage, matching, merge, versions
from productive_sage.copying.records import Draft
from productive_sage.errors import AmountsUnclear
from productive_sage.kept import Contact
from productive_sage.kinds import INVOICE
from productive_sage.productive import richtext
from productive_sage.productive.records import Address, Company, Invoice, InvoiceLine
from productive_sage.sage.records import Item, SageDocument, SageLine, Settlement
from productive_sage.sandbox import Sandbox
from productive_sage.sandbox.books import INVOICE as SANDBOX_INVOICE
from productive_sage.sandbox.documents import create
from productive_sage.tax import Tax

CENT = Decimal("0.01")
DAY = date(2026, 2, 9)


def a_line(
    amount: str | Decimal,
    *,
    quantity: str = "1",
    unit_price: str | None = None,
    discount: str = "0",
    **more: Any,
) -> InvoiceLine:
    return InvoiceLine(
        id="1",
        description=more.pop("description", "Work"),
        quantity=Decimal(quantity),
        unit_price=Decimal(amount if unit_price is None else unit_price),
        discount_percent=Decimal(discount),
        amount=Decimal(amount),
        **more,
    )


def an_invoice(*lines: InvoiceLine, net: str | None = None, tax: str = "0", **more: Any) -> Invoice:
    whole = sum((line.amount for line in lines), Decimal(0)) if net is None else Decimal(net)
    return Invoice(
        **{
            "id": "123",
            "number": "INV-1",
            "currency": "GBP",
            "invoiced_on": DAY,
            "pay_on": None,
            "is_finalised": True,
            "kind": INVOICE,
            "company": Company("507", "Juniper"),
            "bill_to": Address(),
            "discount_percent": Decimal(0),
            **more,
        },
        net=whole,
        tax=Decimal(tax),
        lines=lines,
    )


def plan(invoice: Invoice, tax: Tax | None = None, **more: Any) -> Draft:
    arguments: dict[str, Any] = {
        "tax": tax or Tax("GB_NO_TAX", Decimal(0)),
        "marker": "PRD-123",
        "default_ledger_account": "default-account",
        "items": {},
        "number": None,
        **more,
    }
    return drafts.sales_document(invoice, **arguments)


def codes(draft: Draft) -> list[str]:
    return [notice.code for notice in draft.notices]


# --- lines


def test_a_plain_line_keeps_quantity_and_price() -> None:
    (line,) = plan(an_invoice(a_line("825.00", quantity="7.5", unit_price="110.00"))).lines

    assert (line.quantity, line.unit_price) == (Decimal("7.5"), Decimal(110))
    assert line.discount == 0
    assert line.ledger_account_id == "default-account"


def test_a_discount_goes_as_the_amount_that_gives_productives_net() -> None:
    line = a_line("625.63", quantity="6.5", unit_price="110.00", discount="12.5")

    (sent,) = plan(an_invoice(line)).lines

    assert sent.discount == Decimal("89.37")
    assert sent.net == Decimal("625.63")


def test_a_line_sages_arithmetic_cannot_give_goes_as_one_times_its_net_and_says_so() -> None:
    line = a_line("13.36", quantity="1.333", unit_price="10.01", description="Design")

    draft = plan(an_invoice(line))

    (sent,) = draft.lines
    assert sent.quantity == 1
    assert sent.unit_price == sent.net == Decimal("13.36")
    assert sent.description == "Design (1.333 × 10.01)"
    assert codes(draft) == ["line_restated"]


@pytest.mark.parametrize(
    ("line", "quantity", "unit_price"),
    [
        (a_line("-50.00", quantity="-1", unit_price="50.00"), 1, -50),
        (a_line("-50.00", quantity="1", unit_price="-50.00"), 1, -50),
        (a_line("-45.00", quantity="1", unit_price="-50.00", discount="10"), 1, -45),
        (a_line("0.00", quantity="0", unit_price="95.00"), 1, 0),
        (a_line("0.00", quantity="2", unit_price="0.00"), 2, 0),
    ],
)
def test_negative_and_zero_lines_are_kept(
    line: InvoiceLine, quantity: int, unit_price: int
) -> None:
    sent = plan(an_invoice(line, a_line("100.00"))).lines[0]

    assert (sent.quantity, sent.unit_price) == (Decimal(quantity), Decimal(unit_price))
    assert sent.net == line.amount


def test_an_invoice_below_zero_is_refused() -> None:
    with pytest.raises(AmountsUnclear, match="below zero"):
        plan(an_invoice(a_line("-1.00")))


def test_an_invoice_without_lines_is_refused() -> None:
    with pytest.raises(AmountsUnclear, match="no lines"):
        plan(an_invoice())


def test_a_document_discount_is_spread_to_the_cent() -> None:
    lines = [a_line("33.33"), a_line("33.33"), a_line("33.34")]

    draft = plan(an_invoice(*lines, net="92.50", discount_percent=Decimal("7.5")))

    assert sum(line.net for line in draft.lines) == Decimal("92.50")
    assert [line.net for line in draft.lines] == [
        Decimal("30.83"),
        Decimal("30.83"),
        Decimal("30.84"),
    ]


@pytest.mark.parametrize(("net", "discount"), [("99.00", "0"), ("80.00", "7.5"), ("92.60", "7.5")])
def test_figures_that_do_not_add_up_are_refused(net: str, discount: str) -> None:
    invoice = an_invoice(a_line("100.00"), net=net, discount_percent=Decimal(discount))

    with pytest.raises(AmountsUnclear, match="add up to"):
        plan(invoice)


def test_an_amount_finer_than_the_currency_is_refused() -> None:
    with pytest.raises(AmountsUnclear, match="JPY"):
        plan(an_invoice(a_line("1500.50"), currency="JPY"))


def test_an_item_brings_its_own_ledger_account_and_a_stock_item_is_a_product() -> None:
    items = {
        "11": Item("service", "S", "DESIGN", "Design", "account-of-item", is_active=True),
        "12": Item("stock_item", "K", "BOX", "Box", None, is_active=True),
    }

    draft = plan(
        an_invoice(a_line("1.00", service_type_id="11"), a_line("1.00", service_type_id="12")),
        items=items,
    )

    assert [line.item for line in draft.lines] == [("service_id", "S"), ("product_id", "K")]
    assert [line.ledger_account_id for line in draft.lines] == [
        "account-of-item",
        "default-account",
    ]


# --- descriptions


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("Plain", "Plain"),
        ("one\ntwo", "one\ntwo"),
        ("<p>Design &amp; build</p><p>Caf&eacute;</p>", "Design & build\nCafé"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>one</li><li>two</li></ul>", "- one\n- two"),
        ("  much   space  ", "much space"),
        ("5 < 6 & 7 > 3", "5 < 6 & 7 > 3"),
        ("<script>alert(1)</script>x", "x"),
        ("kept <script>never closed", "kept ‹script>never closed"),
        ("mail <joe@x.example> or press <Enter>", "mail ‹joe@x.example> or press ‹Enter>"),
        ("a\x00b\x1b[2J\ud83d", "ab[2J"),
        ("10\x9620 h", "10–20 h"),
        ("Design\x0bPrint\x85Copy", "Design\nPrint\nCopy"),
        ("if a<b and c>d", "if a‹b and c>d"),
        ("<table><tr><td>10</td><td>20</td></tr></table>", "10 20"),
        ("<colgroup><col style='min-width:25px'></colgroup>x<o:p></o:p>", "x"),
        ("👩‍💻 שלום", "👩‍💻 שלום"),
        ("&lt;b&gt;bold&lt;/b&gt;", "‹b>bold‹/b>"),
        ("R&amp;amp;D", "R＆amp;D"),
        ("&amp;copy 2020", "＆copy 2020"),
        ("R&D; Q&A; AT&T", "R&D; Q&A; AT&T"),
        ("<p>R&amp;D;</p>", "R&D;"),
        ("<address> field", "‹address> field"),
        ("Fix <img> and <link> in header", "Fix ‹img> and ‹link> in header"),
        ("Style <tr> rows", "Style ‹tr> rows"),
        ("Remove <script> from page", "Remove ‹script> from page"),
        ("<p>one<p>two", "one\ntwo"),
        ('a picture <img src="x.png"> of it', "a picture of it"),
        ("Fix the <title> and the </main> tag", "Fix the ‹title> and the ‹/main> tag"),
        ("<table> of contents", "‹table> of contents"),
        ("press </Enter>", "press ‹/Enter>"),
        ("<address>1 Road</address>", "1 Road"),
        ("<p>one<p>two<br>three", "one\ntwo\nthree"),
        ("<ol><li>one<li>two</ol>", "- one\n- two"),
        ("<b style='x'>cut off", "cut off"),
        ("a<!-- <b>hidden</b> -->b <!-- kept", "ab ‹!-- kept"),
        ("a --> b", "a --> b"),
        ("<!DOCTYPE html><?xml v?>x", "x"),
        ("<p>&nbsp;</p>", ""),
    ],
)
def test_html_becomes_plain_text(written: str, text: str) -> None:
    assert richtext.plain_text(written) == text


@given(st.text(max_size=300))
def test_plain_text_never_holds_what_sage_refuses(written: str) -> None:
    text = richtext.plain_text(written)

    assert re.search(r"<[A-Za-z/!?]", text) is None
    assert html.unescape(text) == text


@pytest.mark.parametrize("piece", ["<!--", "<script>", "<a b='", "<b>", "&amp;", "<p ", "</b>"])
def test_much_of_what_never_ends_is_read_in_one_go(piece: str) -> None:
    assert len(richtext.plain_text(piece * 50_000)) <= len(piece) * 50_000


def test_an_empty_description_takes_the_services_name_then_the_service_types() -> None:
    lines = (
        a_line("1.00", description="", service_name="Website", service_type_name="Design"),
        a_line("1.00", description="<p></p>", service_type_name="Design"),
        a_line("1.00", description=""),
    )

    described = [line.description for line in plan(an_invoice(*lines)).lines]

    assert described == ["Website", "Design", "Line 3"]


def test_a_long_description_is_cut_and_said() -> None:
    draft = plan(an_invoice(a_line("1.00", description="x" * 3000)))

    assert len(draft.lines[0].description) == drafts.DESCRIPTION_LIMIT
    assert codes(draft) == ["description_cut"]


# --- tax


def test_tax_is_computed_per_line_half_up() -> None:
    draft = plan(an_invoice(a_line("0.03"), a_line("0.02")), Tax("GB_STANDARD", Decimal("17.5")))

    assert [line.tax for line in draft.lines] == [CENT, Decimal("0.00")]
    assert draft.tax == CENT
    assert draft.total == Decimal("0.06")


def test_another_tax_than_productives_is_said_with_both_figures() -> None:
    draft = plan(an_invoice(a_line("100.00"), tax="20.00"))

    (notice,) = draft.notices
    assert notice.code == "tax_not_mirrored"
    assert "20.00 GBP" in notice.message
    assert "0.00 GBP" in notice.message


# --- markers, customers, bodies


@pytest.mark.parametrize(
    ("reference", "meaning"),
    [
        ("PRD-123", ("123", 1)),
        ("PRD-123-2", ("123", 2)),
        ("PO 77 PRD-123", ("123", 1)),
        ("PRD-1234", ("1234", 1)),
        ("PRD-123 PO 77", ("123", 1)),
        ("PO77/PRD-123.", ("123", 1)),
        ("prd-123-2 (paid late)", ("123", 2)),
        ("PRD-1 PRD-123", ("123", 1)),
        ("XPRD-123", None),
        ("PRD-123-0", None),
        ("PRD-123x", None),
        ("", None),
    ],
)
def test_a_marker_is_read_from_a_reference_people_added_to(
    reference: str, meaning: tuple[str, int] | None
) -> None:
    assert markers.in_reference(reference) == meaning


def test_every_marker_fits_sages_reference() -> None:
    marker = markers.of_copy("9" * 17, 99)

    assert len(marker) <= 25
    assert markers.in_reference(marker) == ("9" * 17, 99)


COMPANY = Company("507", "Juniper Street Coffee Ltd")


NUMBERED = replace(COMPANY, tax_number="GB 123 4567 82")
OURS, OTHERS = "productive-company-507", "productive-company-508"


@pytest.mark.parametrize(
    ("contacts", "found", "asked"),
    [
        ([Contact("1", "juniper street  coffee ltd ")], ["1"], []),
        ([Contact("1", "Juniper Street Coffee")], [], []),
        ([Contact("1", COMPANY.name, currency="EUR")], [], []),
        ([Contact("1", COMPANY.name), Contact("2", COMPANY.name)], ["1", "2"], []),
        ([Contact("1", COMPANY.name), Contact("2", "Else", marker=OURS)], ["2"], []),
        ([Contact("1", "Else", marker="productive-company-5070")], [], []),
        ([Contact("1", "Else", email="A@B.example")], [], ["1"]),
        ([Contact("1", "Else", email="Jo <a@b.example>, c@d.example")], [], ["1"]),
        ([Contact("1", COMPANY.name), Contact("2", "Else", email="a@b.example")], ["1"], []),
        # What is another company's is never taken, whatever else fits.
        ([Contact("1", COMPANY.name, marker=OTHERS, email="a@b.example")], [], []),
        ([Contact("1", "Else", marker=OTHERS, tax_number="123456782")], [], []),
        ([Contact("1", COMPANY.name, tax_number="GB123456783", email="a@b.example")], [], []),
        # Tax numbers are compared without their dress.
        ([Contact("1", COMPANY.name, tax_number="gb-123.4567.82")], ["1"], []),
        ([Contact("1", "Else", tax_number="123456782")], ["1"], []),
        ([Contact("1", COMPANY.name, tax_number="n/a")], ["1"], []),
        (
            [Contact("1", "Else", tax_number="123456782"), Contact("2", COMPANY.name)],
            ["1", "2"],
            [],
        ),
        (
            [Contact("1", COMPANY.name), Contact("2", COMPANY.name, tax_number="123456782")],
            ["2"],
            [],
        ),
        # psage's own marker and another tax number contradict each other.
        ([Contact("1", "Else", marker=OURS, tax_number="GB123456783")], [], ["1"]),
    ],
)
def test_a_customer_is_matched_by_mark_then_tax_number_and_name(
    contacts: list[Contact], found: list[str], asked: list[str]
) -> None:
    matches, proposals = matching.matching_customers(
        contacts,
        NUMBERED,
        Address(email="a@b.example."),
        currency="GBP",
        base_currency="GBP",
    )

    assert [contact.id for contact in matches] == found
    assert [contact.id for contact in proposals] == asked


def test_a_new_customer_is_cut_to_sages_lengths_and_says_so() -> None:
    body, notices = bodies.contact_body(
        Company("5", "N" * 120, "GB1"),
        Address(
            street="1 " + "x" * 60 + "\nUnit 2, Yard", postal_code="12345678901", email="a@b.c"
        ),
        currency="EUR",
        base_currency="GBP",
        country="FR",
    )

    assert len(body["name"]) == 100
    assert len(body["main_address"]["address_line_1"]) == 50
    assert body["main_address"]["address_line_2"] == "Unit 2, Yard"
    assert len(body["main_address"]["postal_code"]) == 10
    assert body["source_guid"] == "productive-company-5-EUR"
    assert {notice.code for notice in notices} == {"customer_cut"}
    assert "email" not in body  # read-only at Sage


def a_document(*, net: str = "100.00", lines: tuple[str, ...] = ("100.00",), **more: Any) -> Any:
    return SageDocument(
        **{
            "id": "S",
            "number": "SI-1",
            "reference": "PRD-123",
            "status": "UNPAID",
            "currency": "GBP",
            "invoiced_on": DAY,
            "contact_id": "C",
            "contact_name": "Juniper",
            "net": Decimal(net),
            "tax": Decimal(0),
            "total": Decimal(net),
            "outstanding": Decimal(net),
            "is_editable": True,
            "is_in_tax_return": False,
            "url": None,
            "lines": tuple(
                SageLine(f"L{n}", Decimal(line), Decimal(0)) for n, line in enumerate(lines)
            ),
            **more,
        }
    )


@pytest.mark.parametrize(
    ("document", "differing"),
    [
        (a_document(), []),
        (a_document(net="100.01"), ["net", "total"]),
        (a_document(tax=CENT), ["tax"]),
        (a_document(currency="EUR"), ["currency"]),
        (a_document(lines=("60.00", "40.00")), ["lines"]),
        (a_document(lines=("99.00",)), ["net of line 1"]),
    ],
)
def test_an_answer_that_is_not_as_planned_is_told(
    document: SageDocument, differing: list[str]
) -> None:
    expected = drafts.expectation(plan(an_invoice(a_line("100.00"))))

    assert list(drafts.differences(expected, document)) == differing


def test_another_number_than_the_one_sent_differs() -> None:
    expected = drafts.expectation(plan(an_invoice(a_line("100.00")), number="INV-1"))

    differ = drafts.differences(expected, a_document(number="SI-7"))

    assert differ == {"number": ("INV-1", "SI-7")}


def test_an_update_keeps_line_ids_and_a_reference_people_added_to() -> None:
    """`merge` has put into the draft what people added."""
    draft = plan(an_invoice(a_line("60.00"), a_line("40.00")))
    present = a_document(reference="PO 5 PRD-123")
    said = versions.said_by(draft, "C", company="1", country="GB", charged=Decimal(20))
    merged = merge.merge(draft, said, present, None, percent=lambda _: Decimal(20)).draft

    put = bodies.update_body(INVOICE, bodies.document_body(merged, "C"), present)

    body = bodies.document_body(draft, "C")
    edited = bodies.update_body(INVOICE, body, a_document(reference="edited"))
    assert [line.get("id") for line in put["invoice_lines"]] == ["L0", None]
    assert "reference" not in put
    assert edited["reference"] == "PRD-123"


def test_an_unchanged_source_says_the_same_however_its_numbers_are_written() -> None:
    one = plan(an_invoice(a_line("30.00", quantity="3", unit_price="10.00")))
    same = plan(an_invoice(a_line("30.00", quantity="3.0", unit_price="10.00")))
    other = plan(an_invoice(a_line("30.00", quantity="6", unit_price="5.00")))

    where: Any = {"company": "1", "country": "GB", "charged": Decimal(0)}
    says = [versions.said_by(draft, "C", **where) for draft in (one, same, other)]
    assert says[0] == says[1] != says[2]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (a_document(), None),
        (a_document(status="PAID"), "it is paid"),
        (a_document(status="PART_PAID"), "it is partly paid"),
        (a_document(is_in_tax_return=True), "it is in a filed VAT return"),
        (a_document(outstanding=CENT), "a payment or credit note is allocated to it"),
        (a_document(is_editable=False), "Sage has locked it"),
        (a_document(outstanding=None), None),
        (a_document(outstanding=None, settlements=()), None),
        (
            a_document(outstanding=None, settlements=(Settlement(None, CENT, CENT, ""),)),
            "a payment or credit note is allocated to it",
        ),
    ],
)
def test_why_a_copy_is_locked(document: SageDocument, reason: str | None) -> None:
    found = in_sage.locked_because(document)

    assert (found or "").startswith(reason or "")
    assert (found is None) == (reason is None)


# --- what must always hold


PARTS = [0, *(pytest.param(n, marks=pytest.mark.torture) for n in range(1, 4))]
"""Each of 1,000 random documents; `make check` plays one."""


@st.composite
def invoices(draw: st.DrawFn) -> Invoice:
    """A Productive invoice as it may come: fractions, discounts, odd rounding, negative lines."""
    currency = draw(st.sampled_from(["GBP", "GBP", "EUR", "JPY"]))
    unit = Decimal(1) if currency == "JPY" else CENT
    rounding = draw(st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN, ROUND_DOWN]))
    lines = []
    for _ in range(draw(st.integers(1, 6))):
        quantity = draw(st.decimals(0, 200, places=3))
        price = draw(st.integers(-2_000, 20_000)) * unit
        discount = draw(st.sampled_from(["0", "0", "5", "12.5", "33.33", "100"]))
        amount = (quantity * price * (100 - Decimal(discount)) / 100).quantize(unit, rounding)
        lines.append(
            a_line(amount, quantity=str(quantity), unit_price=str(price), discount=discount)
        )
    whole = sum((line.amount for line in lines), Decimal(0))
    percent = Decimal(draw(st.sampled_from(["0", "0", "7.5", "10", "99"])))
    net = (whole * (100 - percent) / 100).quantize(unit, rounding)
    if whole <= 0 or net < 0:
        lines.append(a_line(-whole + unit * draw(st.integers(1, 100_000))))
        whole = sum((line.amount for line in lines), Decimal(0))
        net = (whole * (100 - percent) / 100).quantize(unit, rounding)
    return an_invoice(*lines, net=str(net), currency=currency, discount_percent=percent)


@pytest.fixture(scope="module")
def books() -> dict[str, Any]:
    """The sandbox's own bookkeeping, without HTTP: an arithmetic independent of ours."""
    sandbox = Sandbox()
    keeper = sandbox.bookkeeper
    contacts = {c: keeper.add_contact(f"Customer {c}", currency=c) for c in ("GBP", "EUR", "JPY")}
    return {
        "books": sandbox.sage.books(),
        "contacts": contacts,
        "account": keeper.ledger_account_id(4010),
    }


@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=1_000, deadline=None, derandomize=False)
@given(invoice=invoices(), rate=st.sampled_from(["GB_STANDARD", "GB_LOWER", "GB_NO_TAX"]))
def test_every_copy_is_productives_to_the_cent_and_sages_arithmetic_accepts_it(
    part: int, books: dict[str, Any], invoice: Invoice, rate: str
) -> None:
    percent = {"GB_STANDARD": 20, "GB_LOWER": 5}.get(rate, 0)
    draft = plan(invoice, Tax(rate, Decimal(percent)), default_ledger_account=books["account"])
    body = bodies.document_body(draft, books["contacts"][invoice.currency])

    document = create(books["books"], SANDBOX_INVOICE, body)  # raises where Sage would refuse

    view = books["books"].view("sales_invoices", document)
    assert Decimal(view["net_amount"]) == invoice.net
    assert Decimal(view["tax_amount"]) == draft.tax
    assert Decimal(view["total_amount"]) == draft.total
    assert [Decimal(line["net_amount"]) for line in view["invoice_lines"]] == [
        line.net for line in draft.lines
    ]
    del books["books"].table("sales_invoices")[document["id"]]
