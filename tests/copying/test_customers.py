"""Which contact in Sage an invoice is billed to."""

import json
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, Result, copies, first_line, forget, forget_contacts, writes

EMAIL = "bookkeeping@juniper-street.example"


def customer_of(sandbox: Sandbox, productive_id: str) -> str:
    (copy,) = copies(sandbox, productive_id)
    return str(copy["contact"]["id"])


def codes(result: Result) -> list[str]:
    return [one["code"] for one in result.only["warnings"]]


def posted_contacts(sandbox: Sandbox) -> list[str]:
    return [write for write in writes(sandbox) if write == "POST /contacts"]


def test_a_missing_customer_is_created_once_for_a_whole_batch(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "123", "124", "125", "--json")

    assert result.code == 0
    assert len(posted_contacts(services)) == 1
    assert [one["customer"]["created"] for one in result.results] == [True, False, False]
    (contact,) = [c for c in services.sage.contacts.values() if "Juniper" in str(c["name"])]
    assert contact["source_guid"] == "productive-company-507"
    assert contact["currency"]["id"] == "GBP"
    assert contact["main_address"]["country"]["id"] == "GB"
    assert contact["main_address"]["city"] == "London"
    assert contact["tax_number"]
    assert contact["main_contact_person"]["email"].endswith("juniper-street.example")


def test_a_dry_run_of_a_batch_makes_a_missing_customer_once(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "123", "124", "125", "--dry-run", "--json")

    assert [one["customer"]["created"] for one in result.results] == [True, False, False]
    paths = [[sent["path"] for sent in one["would_send"]] for one in result.results]
    assert paths == [["/contacts", "/sales_invoices"], ["/sales_invoices"], ["/sales_invoices"]]


def test_one_exact_name_is_a_match_and_a_similar_one_is_not(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101", "103")

    assert customer_of(services, "101") == services.bookkeeper.contact_id("Northwind Traders Ltd")
    assert customer_of(services, "103") == services.bookkeeper.contact_id(
        "Northwind Trading Limited"
    )
    assert posted_contacts(services) == []


def test_several_matches_without_anybody_to_ask_are_listed(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "114", "--json")

    assert result.code == 4
    error = result.only["error"]
    assert error["code"] == "ambiguous_customer"
    assert len(error["details"]["customers"]) == 2
    assert writes(services) == []


def test_a_mark_decides_between_equal_names(services: Sandbox, psage: Psage) -> None:
    marked = services.bookkeeper.add_contact("O'Brien & Sons", source_guid="productive-company-506")

    psage("copy-invoice", "114")

    assert customer_of(services, "114") == marked


def test_the_customer_of_an_earlier_copy_is_used_again(services: Sandbox, psage: Psage) -> None:
    chosen = services.bookkeeper.contact_id("Northwind Trading Limited")
    psage("copy-invoice", "123", "--customer", "Northwind Trading Limited", "--remember")

    result = psage("copy-invoice", "124", "--json")

    assert result.only["customer"]["id"] == chosen
    assert posted_contacts(services) == []


# --- who is the company, and who is not


def test_an_email_address_alone_is_a_question(services: Sandbox, psage: Psage) -> None:
    services.bookkeeper.add_contact("Juniper (old name)", email=f"Jo <{EMAIL}>, x@y.example")

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "ambiguous_customer"
    assert "1 contact in Sage may be" in result.only["error"]["message"]
    assert "Juniper (old name)" in result.only["error"]["message"]
    assert writes(services) == []


@pytest.mark.parametrize(("answer", "is_old"), [("1", True), ("2", False)])
def test_a_person_says_whether_an_email_address_tells_who_it_is(
    services: Sandbox, psage: Psage, answers: list[str], answer: str, is_old: bool
) -> None:
    known = services.bookkeeper.add_contact("Juniper (old name)", email=EMAIL)
    answers += [answer, "1"]  # the customer, then the tax rate

    psage("copy-invoice", "123")

    assert (customer_of(services, "123") == known) is is_old
    answers += ["1", "1"]
    psage("copy-invoice", "124")
    assert customer_of(services, "124") == customer_of(services, "123")


@pytest.mark.parametrize(
    "contact",
    [
        {"source_guid": "productive-company-999"},
        {"source_guid": "productive-company-999-GBP"},
        {"tax_number": "GB999999973"},
        {"tax_number": "IE1234567T"},
    ],
    ids=str,
)
def test_what_is_another_companys_is_never_taken(
    services: Sandbox, psage: Psage, contact: dict[str, str]
) -> None:
    other = services.bookkeeper.add_contact("Juniper Street Coffee Ltd", email=EMAIL, **contact)

    result = psage("copy-invoice", "123", "--json")

    assert result.only["customer"]["created"] is True
    assert customer_of(services, "123") != other


@pytest.mark.parametrize("name", ["", " ", "\u200b"], ids=repr)
@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_a_customer_without_a_name_is_refused_before_it_is_made(
    services: Sandbox, psage: Psage, name: str, flags: tuple[str, ...]
) -> None:
    company = services.agency.add_company(name)
    bill = services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])

    result = psage("copy-invoice", bill, *flags, "--json")

    assert (result.code, writes(services)) == (4, [])
    assert "has no name in Productive" in result.only["error"]["message"]


ANOTHERS = [{"source_guid": "productive-company-999"}, {"tax_number": "GB999999973"}]


def test_a_customer_that_became_another_companys_is_billed_no_more(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    known = services.bookkeeper.add_contact("Juniper Street Coffee Ltd")
    psage("copy-invoice", "123")
    services.bookkeeper.edit_contact(known, source_guid="productive-company-999")
    forget_contacts(home)

    planned = psage("copy-invoice", "124", "--dry-run", "--json")
    result = psage("copy-invoice", "124", "--json")
    later = psage("copy-invoice", "125", "--json")

    assert planned.only["customer"]["created"] is True
    assert (customer_of(services, "123"), result.only["customer"]["created"]) == (known, True)
    assert "customer_differs" in codes(result)
    assert customer_of(services, "125") == customer_of(services, "124")
    assert "customer_differs" not in codes(later)


@pytest.mark.parametrize("made_by", ["psage", "the bookkeeper"])
def test_a_customer_whose_tax_number_is_another_now_is_a_question_and_makes_no_second_one(
    services: Sandbox, psage: Psage, made_by: str
) -> None:
    company = services.agency.add_company("Rivoli Ltd", vat="GB123456781")
    line = {"unit_price": "10.00"}
    one, two, three = (
        services.agency.add_invoice(company_id=company, lines=[line]) for _ in range(3)
    )
    if made_by == "the bookkeeper":
        services.bookkeeper.add_contact("Rivoli Ltd", tax_number="GB123456781")
    psage("copy-invoice", one)
    services.agency.edit_contact_entry(company, vat="GB987654321")
    services.agency.edit_company(company, vat="GB987654321")
    services.clear_calls()

    refused = psage("copy-invoice", two, "--json")
    sent = writes(services)
    customer = customer_of(services, one)
    taken = psage("copy-invoice", two, "--customer", customer, "--remember", "--json")
    later = psage("copy-invoice", three, "--json")

    assert (refused.code, refused.only["error"]["code"], sent) == (4, "ambiguous_customer", [])
    assert "GB123456781" in refused.only["error"]["message"]
    assert "--remember" in refused.only["error"]["hint"]
    assert (taken.code, later.code, customer_of(services, three)) == (0, 0, customer)


@pytest.mark.parametrize(
    "then",
    [
        ("101", "--update-existing"),
        ("101", "--create-new", "--customer", "Northwind Traders Ltd"),
    ],
    ids=["an update of an older copy", "another customer once"],
)
def test_what_a_person_agreed_to_gives_way_to_their_word_alone(
    services: Sandbox, psage: Psage, then: tuple[str, ...]
) -> None:
    group = services.bookkeeper.add_contact("Northwind Group")
    psage("copy-invoice", "101")
    psage("copy-invoice", "105", "--customer", group, "--remember")
    services.agency.edit_line(first_line(services, "101"), description="other")

    assert psage("copy-invoice", *then).code == 0

    later = services.agency.add_invoice(company_id=501, lines=[{"unit_price": "10.00"}])
    psage("copy-invoice", later)
    assert customer_of(services, later) == group


@pytest.mark.parametrize("change", ANOTHERS, ids=str)
def test_what_a_person_agreed_to_stays(
    services: Sandbox, psage: Psage, home: Path, change: dict[str, str]
) -> None:
    known = services.bookkeeper.add_contact("Juniper Group")
    psage("copy-invoice", "123", "--customer", known, "--remember")
    psage("copy-invoice", "124")
    services.bookkeeper.edit_contact(known, **change)
    forget_contacts(home)

    psage("copy-invoice", "125")

    assert customer_of(services, "125") == known


def test_a_tax_number_in_another_dress_is_the_companys(services: Sandbox, psage: Psage) -> None:
    known = services.bookkeeper.add_contact("Juniper Group", tax_number="123456782")

    psage("copy-invoice", "123")

    assert customer_of(services, "123") == known


def test_psages_mark_with_another_tax_number_is_a_question(services: Sandbox, psage: Psage) -> None:
    services.bookkeeper.add_contact(
        "Juniper Street Coffee Ltd",
        source_guid="productive-company-507",
        tax_number="GB999999973",
    )

    result = psage("copy-invoice", "123", "--json")

    assert result.only["error"]["code"] == "ambiguous_customer"
    assert "GB999999973" in result.only["error"]["message"]


@pytest.mark.parametrize("at_once", [True, False], ids=["one batch", "two runs"])
def test_two_companies_of_one_name_are_two_customers(
    services: Sandbox, psage: Psage, at_once: bool
) -> None:
    namesake = services.agency.add_company("Juniper Street Coffee Ltd", email=EMAIL)
    bill = services.agency.add_invoice(company_id=namesake, lines=[{"unit_price": "10.00"}])

    for ids in [("123", bill)] if at_once else [("123",), (bill,)]:
        assert psage("copy-invoice", *ids).code == 0

    assert customer_of(services, "123") != customer_of(services, bill)
    assert len(posted_contacts(services)) == 2


@pytest.mark.parametrize(
    ("in_productive", "in_sage"),
    [
        ("Cafe\u0301 Zoe\u0308 Ltd", "Café Zoë Ltd"),
        ("Kes\u200btrel", "Kestrel"),
        ("Kestrel", "Kes\u2060trel\ufeff"),
        ("Smith &amp; Sons", "Smith & Sons"),
        ("Smith &#38; Sons", "smith & sons"),
        ("O\u2019Malley \u2013 Sons", "O'Malley - Sons"),
        ("Ａcme\u00a0\u2009Works", "Acme Works"),
        ("Straße 5 GmbH", "STRASSE 5 GMBH"),
    ],
)
def test_one_name_written_in_two_ways_is_one_customer(
    services: Sandbox, psage: Psage, in_productive: str, in_sage: str
) -> None:
    known = services.bookkeeper.add_contact(in_sage)
    services.agency.edit_company(507, name=in_productive, billing_name=None)

    psage("copy-invoice", "123")

    assert customer_of(services, "123") == known


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Smith &amp; Sons", "Smith & Sons"),
        ("Kes\u200btrel  \u00a0Ltd ", "Kestrel Ltd"),
        ("Cafe\u0301", "Café"),
        ("R&D; Works", "R&D; Works"),
        ("AT&T", "AT&T"),
        ("O\u2019Malley", "O\u2019Malley"),
    ],
)
def test_the_name_stored_is_the_clean_one(
    services: Sandbox, psage: Psage, written: str, stored: str
) -> None:
    services.agency.edit_company(507, name=written, billing_name="\u200b")

    result = psage("copy-invoice", "123", "--json")

    assert services.sage.contacts[result.only["customer"]["id"]]["name"] == stored


def test_a_named_contact_that_is_not_the_company_is_said_and_used_once(
    services: Sandbox, psage: Psage
) -> None:
    other = services.bookkeeper.contact_id("Northwind Trading Limited")

    once = psage("copy-invoice", "123", "--customer", "Northwind Trading Limited", "--json")
    later = psage("copy-invoice", "124", "--json")

    assert once.only["customer"]["id"] == other
    (warning,) = [w for w in once.only["warnings"] if w["code"] == "customer_differs"]
    assert "this once" in warning["message"]
    assert later.only["customer"]["created"] is True
    assert "customer_differs" not in [w["code"] for w in later.only["warnings"]]


def test_a_named_contact_that_is_the_company_is_remembered(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "114", "--customer", "OBRIEN2", "--json")

    later = services.agency.add_invoice(company_id=506, lines=[{"unit_price": "10.00"}])
    assert psage("copy-invoice", later).code == 0
    assert customer_of(services, later) == customer_of(services, "114")
    assert "customer_differs" not in [w["code"] for w in result.only["warnings"]]


@pytest.mark.parametrize(("flags", "kept"), [((), False), (("--remember",), True)])
def test_another_contact_is_billed_from_now_on_where_a_person_says_so(
    services: Sandbox, psage: Psage, answers: list[str], flags: tuple[str, ...], kept: bool
) -> None:
    answers += ["1", "1", "1"]  # the tax rate; the customer that is proposed, and the rate
    psage("copy-invoice", "123", "--customer", "NORTH002", *flags)

    psage("copy-invoice", "124")

    assert answers == []
    assert (customer_of(services, "124") == customer_of(services, "123")) is kept


def test_a_mistyped_customer_proposes_what_comes_near(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--customer", "Northwind Trader Ltd", "--json")

    assert (result.code, result.only["error"]["code"]) == (4, "customer_not_found")
    assert "`Northwind Traders Ltd`" in result.only["error"]["hint"]
    assert writes(services) == []


def test_to_remember_a_customer_it_has_to_be_named(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--remember")

    assert result.code == 2
    assert "--customer" in result.err


def test_a_contact_that_somebody_chose_in_sage_is_not_remembered(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    psage("copy-invoice", "101", "--customer", "NORTH002")
    forget(home)

    adopted = psage("copy-invoice", "101", "--customer", "NORTH002", "--json")
    later = psage("copy-invoice", "105", "--json")

    assert adopted.only["action"] == "adopted"
    assert later.only["customer"]["name"] == "Northwind Traders Ltd"


@pytest.mark.parametrize("how", ["id", "name", "reference"])
def test_a_customer_is_named_by_id_name_or_reference(
    services: Sandbox, psage: Psage, how: str
) -> None:
    contact = services.bookkeeper.add_contact("Holding plc", reference="HOLD1")
    named = {"id": contact, "name": " holding PLC ", "reference": "HOLD1"}[how]

    psage("copy-invoice", "101", "--customer", named)

    assert customer_of(services, "101") == contact


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ("Nobody at all", "customer_not_found"),
        ("Atelier Lumière SARL", "customer_not_found"),  # bills EUR
        ("O'Brien & Sons", "ambiguous_customer"),
    ],
)
def test_a_named_customer_that_does_not_fit_is_refused(
    services: Sandbox, psage: Psage, named: str, code: str
) -> None:
    result = psage("copy-invoice", "101", "--customer", named, "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == code
    assert writes(services) == []


def test_a_contact_in_another_currency_is_never_used(services: Sandbox, psage: Psage) -> None:
    services.bookkeeper.add_contact("Juniper Street Coffee Ltd", currency="EUR")

    result = psage("copy-invoice", "123", "--json")

    assert result.only["customer"]["created"] is True
    contact = services.sage.contacts[result.only["customer"]["id"]]
    assert contact["currency"]["id"] == "GBP"


def test_a_company_billed_in_two_currencies_gets_two_contacts(
    services: Sandbox, psage: Psage
) -> None:
    euros = services.agency.add_invoice(
        company_id=507, currency="EUR", lines=[{"unit_price": "10.00"}]
    )

    psage("copy-invoice", "123", euros)

    markers = {
        c["source_guid"]
        for c in services.sage.contacts.values()
        if str(c["source_guid"]).startswith("productive-company-507")
    }
    assert markers == {"productive-company-507", "productive-company-507-EUR"}


def test_create_customer_forces_a_new_one(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "101", "--create-customer", "--json")

    assert result.only["customer"]["created"] is True
    assert customer_of(services, "101") != services.bookkeeper.contact_id("Northwind Traders Ltd")


def test_a_created_customer_is_found_by_its_marker_when_the_store_is_gone(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    made = psage("copy-invoice", "123", "--json").only["customer"]["id"]
    services.bookkeeper.rename_contact(made, "Juniper Holdings")
    forget(home)

    result = psage("copy-invoice", "124", "--json")

    assert result.only["customer"]["id"] == made


def test_books_with_more_than_a_page_of_customers_are_read_to_the_end(
    services: Sandbox, psage: Psage
) -> None:
    for n in range(210):
        services.bookkeeper.add_contact(f"Filler {n}")
    renamed = services.bookkeeper.add_contact("Old name", source_guid="productive-company-507")

    psage("copy-invoice", "123")

    assert customer_of(services, "123") == renamed


def test_an_unknown_country_is_left_out_with_a_warning(services: Sandbox, psage: Psage) -> None:
    services.agency.edit_contact_entry(507, country="Atlantis")

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 0
    assert "country_unknown" in [warning["code"] for warning in result.only["warnings"]]


def test_a_contact_that_is_deleted_since_is_looked_up_again(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "123", "--json").only["customer"]["id"]
    services.bookkeeper.delete_contact(made)

    result, later = psage("copy-invoice", "124", "--json"), psage("copy-invoice", "125", "--json")

    assert (result.code, later.code) == (0, 0)
    assert "customer_missing" in [one["code"] for one in result.only["warnings"]]
    assert customer_of(services, "124") == customer_of(services, "125") != made
    assert customer_of(services, "124") in services.sage.contacts


def test_a_contact_that_was_merged_into_another_is_found_there(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "123", "--json").only["customer"]["id"]
    name = services.sage.contacts[made]["name"]
    services.bookkeeper.delete_contact(made)
    other = services.bookkeeper.add_contact(name)
    services.clear_calls()

    result = psage("copy-invoice", "124", "--json")

    assert (result.code, customer_of(services, "124")) == (0, other)
    assert posted_contacts(services) == []


def test_a_contact_that_sage_refuses_but_has_is_kept(services: Sandbox, psage: Psage) -> None:
    made = psage("copy-invoice", "123", "--json").only["customer"]["id"]
    body = {"$message": "no", "$source": "sales_invoice.contact_id", "$severity": "error"}
    for _ in range(2):
        services.clear_calls()
        services.fault("status", service="sage", method="POST", status=422, body=[body])

        result = psage("copy-invoice", "124", "--json")

        assert result.only["error"]["code"] == "refused_by_sage"
        assert "--customer" in result.only["error"]["hint"]
        assert writes(services, "sage") == ["POST /sales_invoices"]
    assert psage("copy-invoice", "124", "--json").only["customer"]["id"] == made


def test_a_contact_that_sage_never_knows_is_made_once_and_no_more(
    services: Sandbox, psage: Psage
) -> None:
    """Whatever id is used for it, Sage refuses it."""
    body = {"$message": "unknown", "$source": "sales_invoice.contact_id", "$severity": "error"}
    services.fault(
        "status", service="sage", method="POST", path="/sales_invoices", status=422, body=[body]
    )
    services.fault("status", service="sage", method="GET", path="/contacts/", status=404)

    result = psage("copy-invoice", "124", "--json")

    assert result.code in (4, 5)
    assert len(posted_contacts(services)) == 1


# --- asking


def test_a_person_chooses_between_several_customers(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["2", "1"]  # the customer, then the tax rate

    result = psage("copy-invoice", "114")

    assert result.code == 0
    assert "Who is billed in Sage for O'Brien & Sons?" in result.err
    listed = [line for line in result.err.splitlines() if line.lstrip().startswith("2  ")]
    chosen = services.sage.contacts[customer_of(services, "114")]
    assert str(chosen["reference"]) in listed[0]


def test_a_person_may_make_a_new_customer_instead(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["3", "1"]

    psage("copy-invoice", "114")

    assert len(posted_contacts(services)) == 1


@pytest.mark.parametrize(
    ("answer", "action", "count"),
    [("1", "unchanged", 1), ("2", "created", 2), ("3", "unchanged", 1)],
)
def test_a_person_is_asked_what_to_do_about_a_copy(
    services: Sandbox,
    psage: Psage,
    answers: list[str],
    answer: str,
    action: str,
    count: int,
) -> None:
    answers += ["1", "1"]  # the customer that is proposed, and no tax
    psage("copy-invoice", "101")
    answers += [answer, "1", "1"]

    result = psage("copy-invoice", "101", "--json")

    assert json.loads(result.out)["results"][0]["action"] == action
    assert len(copies(services, "101")) == count


def test_an_update_bills_an_unchanged_invoice_to_the_customer_named(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "101")

    result = psage(
        "copy-invoice",
        "101",
        "--update-existing",
        "--customer",
        "Northwind Trading Limited",
        "--json",
    )

    assert result.only["action"] == "updated"
    assert customer_of(services, "101") == services.bookkeeper.contact_id(
        "Northwind Trading Limited"
    )
