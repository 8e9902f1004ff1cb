"""What a person at a terminal is shown and asked before a document is copied."""

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes


def billed_to(sandbox: Sandbox, productive_id: str) -> str:
    (copy,) = copies(sandbox, productive_id)
    return str(copy["contact_name"])


def rate_of(sandbox: Sandbox, productive_id: str) -> str:
    (copy,) = copies(sandbox, productive_id)
    return str(copy["invoice_lines"][0]["tax_rate"]["id"])


def test_the_document_is_shown_before_anything_is_asked(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["1", "1"]

    shown = psage("copy-invoice", "123").err

    document, _, questions = shown.partition("Who is billed in Sage for")
    assert "invoice INV-2026-023 for" in document
    assert "dated 2026-02-09, due 2026-03-11" in document
    assert "GBP net" in document
    for amount in ("1,171.64", "625.63", "2,077.27"):
        assert amount in document
    assert "Which tax rate" in questions


def test_a_document_is_not_shown_where_nothing_is_left_to_ask(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    result = psage("copy-invoice", "101", "--customer", "NORTH001", "--no-tax")

    assert result.code == 0
    assert "GBP net" not in result.err


def test_another_customer_is_found_by_a_word(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["s", "north001", "1", "1", "1"]  # found, billed this once, no tax

    assert psage("copy-invoice", "123").code == 0

    assert billed_to(services, "123") == "Northwind Traders Ltd"
    answers += ["1", "1"]
    assert psage("copy-invoice", "124").code == 0
    assert billed_to(services, "124") != "Northwind Traders Ltd"


def test_a_customer_found_is_billed_from_now_on_where_a_person_says_so(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["s", "north001", "1", "2", "1"]
    psage("copy-invoice", "123")
    answers += ["1", "1"]

    psage("copy-invoice", "124")

    assert billed_to(services, "123") == billed_to(services, "124") == "Northwind Traders Ltd"


def test_a_misspelt_word_finds_what_comes_near(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["s", "Northwnd Trader Ltd", "1", "1", "1"]

    psage("copy-invoice", "123")

    assert billed_to(services, "123").startswith("Northwind Trad")


def test_a_word_nothing_fits_is_said_and_enter_goes_back(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["s", "zzzz", "", "1", "1"]

    result = psage("copy-invoice", "101")

    assert "No customer in Sage comes near to `zzzz`" in result.err
    assert billed_to(services, "101") == "Northwind Traders Ltd"


def test_a_new_customer_is_made_though_one_fits(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["2", "1"]

    assert psage("copy-invoice", "101").code == 0

    assert "POST /contacts" in writes(services)


def test_from_the_tax_rate_there_is_a_way_back_to_the_customer(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["2", "b", "1", "2"]

    assert psage("copy-invoice", "101").code == 0

    assert "POST /contacts" not in writes(services)
    assert billed_to(services, "101") == "Northwind Traders Ltd"
    assert rate_of(services, "101") != "GB_NO_TAX"


def test_in_a_batch_a_customer_that_is_known_is_not_asked(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    answers += ["1", "1"]
    assert psage("copy-invoice", "101").code == 0
    answers += ["1"]  # the tax rate

    result = psage("copy-invoice", "125", "126", "--no-pdf")

    assert result.err.count("Who is billed in Sage for Northwind Traders Ltd?") == 0
    assert answers == []


@pytest.mark.parametrize("word", ["x", "0", "9", "ss"])
def test_what_is_no_answer_is_asked_again(
    services: Sandbox, psage: Psage, answers: list[str], word: str
) -> None:
    answers += [word, "1", "1"]

    result = psage("copy-invoice", "101")

    assert "Type a number from 1 to 2 or s" in result.err
    assert billed_to(services, "101") == "Northwind Traders Ltd"
