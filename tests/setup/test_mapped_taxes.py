"""`--map-tax`: each tax has one rate, and what stands for no tax of Productive is said."""

from pathlib import Path

import pytest

from productive_sage import config
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, writes


def table(home: Path) -> dict[str, str]:
    return dict(config.load(home / "default.toml", {})[0].tax_map)


def write(home: Path, entries: str) -> None:
    path = home / "default.toml"
    path.write_text(f"{path.read_text()}\n[tax.map]\n{entries}")


@pytest.mark.parametrize("typed", ["20", "20%", "20 %", "20,0", "20.00 %", "２０%"])
def test_one_percentage_has_one_entry_however_it_is_written(
    services: Sandbox, psage: Psage, home: Path, typed: str
) -> None:
    assert psage("configure", "--map-tax", "20,0 %=GB_LOWER").code == 0

    assert psage("configure", "--map-tax", f"{typed}=Standard").code == 0

    assert table(home) == {"20,0 %": "GB_STANDARD"}


def test_two_rates_for_one_tax_in_one_command_are_refused(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    pairs = ("--map-tax", "20=Standard", "--map-tax", "20,0%=Lower")

    result = psage("configure", *pairs, "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "usage")
    assert table(home) == {}


def test_two_rates_for_one_tax_in_the_file_copy_nothing_until_one_is_taken_out(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    write(home, '20 = "GB_LOWER"\n"20,0 %" = "GB_STANDARD"\n')

    result = psage("copy-invoice", "123", "--no-pdf", "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "config_invalid")
    assert '--map-tax "20,0 %="`' in result.json["error"]["hint"]
    assert writes(services) == []
    assert psage("configure", "--map-tax", "20,0 %=").code == 0
    assert table(home) == {"20": "GB_LOWER"}


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        (
            "VAT20=Standard",
            "no tax called `VAT20`, so that this stands for no line; did you mean `V",
        ),
        ("Mehrwertsteuer=Standard", "it has `VAT 20%`, `VAT 5%`, `VAT 0%`"),
        ("20,5%=Standard", "no tax of 20.5 %"),
    ],
)
def test_what_is_no_tax_of_productive_is_written_and_said(
    services: Sandbox, psage: Psage, home: Path, pair: str, said: str
) -> None:
    result = psage("configure", "--map-tax", pair, "--json")

    warnings = {one["code"]: one["message"] for one in result.json["warnings"]}
    assert result.code == 0
    assert said in warnings["tax_not_in_productive"]
    assert table(home) == {pair.partition("=")[0]: "GB_STANDARD"}
    assert said in psage("configure", "--map-tax", pair).err


@pytest.mark.parametrize("key", ["VAT 5%", "5", "5,0 %", "17,5%"])
def test_a_rate_of_another_percentage_is_said_before_a_document_is_refused_for_it(
    services: Sandbox, psage: Psage, key: str
) -> None:
    result = psage("configure", "--map-tax", f"{key}=Standard", "--json")

    warnings = {one["code"]: one["message"] for one in result.json["warnings"]}
    assert result.code == 0
    assert "Standard 20.00% is 20 %" in warnings["tax_rate_differs"]


@pytest.mark.parametrize(
    "pair", ["VAT 20%=Standard", "vat 20 %=Standard", "5=Lower", "none=No VAT", "0=Exempt", "9="]
)
def test_what_fits_is_written_without_a_word(services: Sandbox, psage: Psage, pair: str) -> None:
    result = psage("configure", "--map-tax", pair, "--json")

    assert (result.code, result.json["warnings"]) == (0, [])


def test_where_productive_shows_no_taxes_nothing_is_said_of_them(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.fault("status", service="productive", path="/tax_rates", times=9, status=403)

    result = psage("configure", "--map-tax", "VAT20=Standard", "--json")

    assert (result.code, result.json["warnings"]) == (0, [])
    assert table(home) == {"VAT20": "GB_STANDARD"}
