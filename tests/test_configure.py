"""configure by flags: checked against both services before a byte is written."""

from pathlib import Path

import pytest

from productive_sage import config
from productive_sage.models import Settings
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage


def settings(home: Path) -> Settings:
    return config.load(home / "default.toml", {})[0]


@pytest.mark.parametrize(
    "named", ["4010", "Sales - Services", "sales - services (4010)", "the id itself"]
)
def test_a_ledger_account_is_named_by_code_id_or_name(
    connected: Sandbox, psage: Psage, home: Path, named: str
) -> None:
    account = connected.bookkeeper.ledger_account_id(4010)

    result = psage("configure", "--default-ledger", named.replace("the id itself", account))

    assert result.code == 0
    assert settings(home).default_ledger_account == account
    assert "Sales - Services (4010)" in (home / "default.toml").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--default-ledger", "9999"), "there is no ledger account in Sage `9999`"),
        (("--default-ledger", "7500"), "is not for sales"),
        (("--default-ledger", "4010", "--default-tax-rate", "GB_NONE"), "GB_NONE"),
        (("--default-ledger", "4010", "--numbering", "both"), "--numbering both"),
        (("--default-ledger", "4010", "--map-item", "Design"), "SERVICE TYPE=ITEM"),
        (("--default-ledger", "4010", "--map-item", "Nonsense=DESIGN"), "Nonsense"),
        (("--default-ledger", "4010", "--map-item", "Design=NOSUCH"), "NOSUCH"),
        (("--default-ledger", "4010", "--map-item", "Design=OLD"), "not active"),
    ],
)
def test_a_value_the_services_do_not_know_is_refused_and_nothing_written(
    connected: Sandbox, psage: Psage, home: Path, flags: tuple[str, ...], words: str
) -> None:
    result = psage("configure", *flags)

    assert result.code in (2, 4)
    assert words in result.err
    assert psage("configure", *flags, "--json").json["error"]["code"] in ("usage", "refused")
    assert not (home / "default.toml").exists()


def test_all_wrong_answers_are_told_together(connected: Sandbox, psage: Psage, home: Path) -> None:
    result = psage(
        "configure", "--default-ledger", "7500", "--default-tax-rate", "NO", "--pdf", "x"
    )

    assert "7500" in result.err
    assert "`NO`" in result.err
    assert "--pdf x" in result.err


def test_the_default_ledger_account_is_obligatory(
    connected: Sandbox, psage: Psage, home: Path
) -> None:
    result = psage("configure", "--numbering", "sage", "--json")

    assert result.code == 2
    assert result.json["error"]["code"] == "input_needed"
    assert "--default-ledger" in result.json["error"]["hint"]


def test_links_are_set_and_removed_by_name(services: Sandbox, psage: Psage, home: Path) -> None:
    psage("configure", "--map-item", "Design=DESIGN", "--map-item", "12=PRINT")
    both = dict(settings(home).items)

    psage("configure", "--map-item", "Design=")

    assert {key: value.split(":")[0] for key, value in both.items()} == {
        "11": "service",
        "12": "product",
    }
    assert list(settings(home).items) == ["12"]


def test_an_empty_tax_rate_removes_the_default(services: Sandbox, psage: Psage, home: Path) -> None:
    psage("configure", "--default-tax-rate", "GB_STANDARD")
    before = settings(home).default_tax_rate

    psage("configure", "--default-tax-rate", "")

    assert (before, settings(home).default_tax_rate) == ("GB_STANDARD", "")


def test_show_prints_the_settings_without_a_call(services: Sandbox, psage: Psage) -> None:
    result = psage("configure", "--show")

    assert result.code == 0
    assert "default_ledger_account" in result.out
    assert services.calls() == []


def test_show_as_json_is_one_document(services: Sandbox, psage: Psage) -> None:
    result = psage("configure", "--show", "--json")

    assert result.json["settings"]["numbering"] == "sage"
    assert result.json["command"] == "configure"


def test_nothing_said_is_a_usage_error_that_shows_how(services: Sandbox, psage: Psage) -> None:
    result = psage("configure")

    assert result.code == 2
    assert "--default-ledger" in result.err
