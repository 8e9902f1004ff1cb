"""Countries as people write them, and what a country decides."""

import subprocess
import sys

import pytest

from productive_sage.sage import countries
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies


@pytest.mark.parametrize(
    ("written", "code"),
    [
        *((word, "GB") for word in ("UK", "U.K.", "u k", "GB", "gbr", "GB-SCT", "England, UK")),
        *((word, "GB") for word in ("England", "Scotland", "Wales", "Northern Ireland", "XI")),
        *((word, "GB") for word in ("Great Britain", "United  Kingdom\u200b", "Großbritannien")),
        *((word, "US") for word in ("USA", "U.S.A.", "United States of America", "u.s.")),
        *((word, "NL") for word in ("The Netherlands", "netherlands", "Nederland", "Holland")),
        *((word, "DE") for word in ("Deutschland", "Germany", "Allemagne", "DEU")),
        *((word, "DE") for word in ("Federal Republic of Germany", "Germany (DE)")),
        *((word, "IE") for word in ("Republic of Ireland", "Ireland", "Éire", "Eire")),
        *((word, "CZ") for word in ("Czechia", "Czech Republic", "Česko")),
        *((word, "CI") for word in ("Cote d'Ivoire", "Côte d’Ivoire", "COTE D IVOIRE")),
        *((word, "KR") for word in ("South Korea", "Korea, Republic of", "Republic of Korea")),
        *((word, "TW") for word in ("Taiwan", "Republic of China")),
        ("Österreich", "AT"),
        ("Suisse", "CH"),
        ("EL", "GR"),
        ("St Lucia", "LC"),
        ("Bosnia and Herzegovina", "BA"),
        ("Bosnia & Herzegovina", "BA"),
        ("日本", "JP"),
        # Nobody can tell.
        *((word, "") for word in ("", " ", "-", "n/a", "NA", "Atlantis", "EU", "Europe", "ZZ")),
        *((word, "") for word in ("Ireland, UK", "France / England")),
        *((word, "") for word in ("Congo", "Korea", "Georgia, USA", "England or Ireland")),
    ],
)
def test_a_country_is_known_however_it_is_written(written: str, code: str) -> None:
    assert countries.code_of(written) == code


def test_the_names_of_countries_are_not_loaded_before_they_are_needed() -> None:
    program = (
        "import sys; from productive_sage import cli, copying; "
        "from productive_sage.sage import countries; "
        "print(any(name.split('.')[0] == 'babel' for name in sys.modules))"
    )

    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)

    assert said.stdout.split() == [b"False"]


@pytest.mark.parametrize("written", ["U.K.", "Scotland", "Great Britain"])
def test_a_customer_at_home_is_not_abroad_however_home_is_written(
    services: Sandbox, psage: Psage, written: str
) -> None:
    services.agency.edit_contact_entry(507, country=written)

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 0
    assert "sold_abroad" not in [warning["code"] for warning in result.only["warnings"]]
    contact = services.sage.contacts[result.only["customer"]["id"]]
    assert contact["main_address"]["country"]["id"] == "GB"


def test_a_country_sage_has_no_word_for_still_decides(services: Sandbox, psage: Psage) -> None:
    services.agency.edit_contact_entry(505, country="Brasil", vat=None)
    services.agency.edit_company(505, vat=None)

    result = psage("copy-invoice", "109", "--json")

    assert result.code == 0
    codes = [warning["code"] for warning in result.only["warnings"]]
    assert "country_unknown" in codes
    assert "sold_abroad" in codes
    (copy,) = copies(services, "109")
    assert {line["tax_rate"]["id"] for line in copy["invoice_lines"]} == {"GB_ZERO"}
