"""Which tax rate a copy carries."""

from decimal import Decimal
from pathlib import Path

import pytest

from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes


def rates(sandbox: Sandbox, productive_id: str) -> set[str | None]:
    (copy,) = copies(sandbox, productive_id)
    return {line["tax_rate"] and line["tax_rate"]["id"] for line in copy["invoice_lines"]}


@pytest.mark.parametrize("named", ["GB_STANDARD", "gb_standard", "Standard 20.00%"])
def test_a_rate_is_named_by_id_or_name(services: Sandbox, psage: Psage, named: str) -> None:
    name = next(
        row["name"]
        for row in services.sage.books().table("tax_rates").values()
        if row["id"] == "GB_STANDARD"
    )

    result = psage("copy-invoice", "101", "--tax-rate", named.replace("Standard 20.00%", name))

    assert result.code == 0
    (copy,) = copies(services, "101")
    assert rates(services, "101") == {"GB_STANDARD"}
    assert Decimal(copy["tax_amount"]) == Decimal("355.00")


@pytest.mark.parametrize("flags", [(), ("--no-tax",)])
def test_no_tax_takes_the_countrys_own_rate_and_zero_on_every_line(
    services: Sandbox, psage: Psage, flags: tuple[str, ...]
) -> None:
    result = psage("copy-invoice", "101", *flags, "--json")

    (copy,) = copies(services, "101")
    assert rates(services, "101") == {"GB_NO_TAX"}
    assert Decimal(copy["tax_amount"]) == 0
    (warning,) = [w for w in result.only["warnings"] if w["code"] == "tax_not_mirrored"]
    assert "355.00" in warning["message"]
    assert "0.00" in warning["message"]


def test_the_configured_default_is_used_and_no_tax_overrides_it(
    services: Sandbox, psage: Psage
) -> None:
    psage("configure", "--default-tax-rate", "GB_STANDARD")

    psage("copy-invoice", "101")
    psage("copy-invoice", "125", "--no-tax")

    assert rates(services, "101") == {"GB_STANDARD"}
    assert rates(services, "125") == {"GB_NO_TAX"}


def test_an_unknown_hidden_or_outdated_rate_is_refused(services: Sandbox, psage: Psage) -> None:
    table = services.sage.books().table("tax_rates").values()
    hidden = [row["id"] for row in table if not row.get("is_visible", row.get("visible", True))]

    for named in ["GB_NONE", *hidden]:
        result = psage("copy-invoice", "101", "--tax-rate", named, "--json")

        assert result.code == 4
        assert result.only["error"]["code"] == "tax_rate_invalid"
    assert hidden
    assert writes(services) == []


def test_a_customer_outside_gb_is_zero_rated_as_services_and_it_is_said(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "109", "--json")

    assert result.code == 0
    (copy,) = copies(services, "109")
    assert rates(services, "109") == {"GB_ZERO"}
    assert {line["eu_goods_services_type"]["id"] for line in copy["invoice_lines"]} == {"SERVICES"}
    assert "sold_abroad" in [warning["code"] for warning in result.only["warnings"]]


def test_goods_sold_abroad_are_a_setting(services: Sandbox, psage: Psage, home: Path) -> None:
    path = home / "default.toml"
    path.write_text('goods_or_services = "GOODS"\n' + path.read_text())

    psage("copy-invoice", "109")

    (copy,) = copies(services, "109")
    assert {line["eu_goods_services_type"]["id"] for line in copy["invoice_lines"]} == {"GOODS"}


def test_a_home_rate_for_a_customer_abroad_is_sages_refusal_in_its_words(
    services: Sandbox, psage: Psage
) -> None:
    result = psage("copy-invoice", "109", "--tax-rate", "GB_STANDARD", "--json")

    assert result.code == 4
    assert result.only["error"]["code"] == "refused_by_sage"
    assert "--tax-rate" in result.only["error"]["hint"]
    assert copies(services, "109") == []


def test_an_update_abroad_stays_unchanged(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "109")
    services.clear_calls()

    result = psage("copy-invoice", "109", "--update-existing", "--json")

    assert result.only["action"] == "unchanged"
    assert writes(services) == []


def test_a_person_is_asked_once_for_a_batch_with_the_default_first(
    services: Sandbox, psage: Psage, answers: list[str]
) -> None:
    psage("configure", "--default-tax-rate", "GB_LOWER")
    answers += ["1"]

    result = psage("copy-invoice", "101", "125")

    assert answers == []
    assert result.err.count("Which tax rate shall the copy carry?") == 1
    assert rates(services, "101") == rates(services, "125") == {"GB_LOWER"}
