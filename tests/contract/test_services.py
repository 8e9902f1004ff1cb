"""What psage relies on, asked of each back end: the sandbox, a recording, the real services.

Without options the sandbox answers, and its answers are recorded with vcrpy, scrubbed and played
back. With `--live` the real services answer: the person's own `psage connect` and settings are
used, only reads are sent, and the recording is kept in `tests/contract/cassettes` for others.
"""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import typer
import vcr

from productive_sage import config
from productive_sage.http.pool import Pool, connect_pool
from productive_sage.http.timing import Timing
from productive_sage.kinds import INVOICE
from productive_sage.productive.calls import Token
from productive_sage.productive.client import ProductiveClient
from productive_sage.sage.calls import sage_http
from productive_sage.sage.client import SageClient
from productive_sage.sandbox import Sandbox
from productive_sage.settings import Endpoints
from productive_sage.signin.oauth import SageTokens
from productive_sage.signin.vault import Vault

CASSETTES = Path(__file__).parent / "cassettes"
_SECRET_HEADERS = ("authorization", "x-auth-token", "x-organization-id", "x-business", "cookie")
_PERSONAL = re.compile(
    r'"(email|telephone|mobile|tax_number|vat|address_line_1|address)":\s*"[^"]*"'
)


def scrubbed_reply(reply: dict[str, Any]) -> dict[str, Any]:
    """Without cookies and what tells a person."""
    reply["headers"] = {
        name: value for name, value in reply["headers"].items() if "cookie" not in name.lower()
    }
    body = reply["body"]["string"].decode("utf-8", "replace")
    reply["body"]["string"] = _PERSONAL.sub(r'"\1": "scrubbed"', body).encode()
    return reply


RECORDER = vcr.VCR(
    filter_headers=[(name, "scrubbed") for name in _SECRET_HEADERS],
    filter_query_parameters=[("token", "scrubbed")],
    before_record_response=scrubbed_reply,
    match_on=("method", "path", "query"),
    decode_compressed_response=True,
)


class Services:
    """Both clients, reading only."""

    def __init__(self, vault: Vault, endpoints: Endpoints, pool: Pool) -> None:
        sign_in = vault.productive()
        tokens = SageTokens(vault, sage_http(pool, endpoints.sage_token))
        self.productive = ProductiveClient(
            pool, endpoints, Token(sign_in.token, sign_in.organization_id), read_only=True
        )
        self.sage = SageClient(
            sage_http(pool, endpoints.sage_api, credentials=tokens, read_only=True),
            tokens.sign_in.business_id,
        )


@pytest.fixture(params=["sandbox", "recording", "live"])
def services(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Services]:
    live = request.config.getoption("--live")
    if live != (request.param == "live"):
        pytest.skip("the real services answer only with --live, and then alone")
    if not live:
        request.getfixturevalue("connected")
    folder = Path(os.environ.get("PSAGE_HOME") or typer.get_app_dir("psage"))
    settings, _ = config.load(folder / "default.toml", os.environ)
    name = re.sub(r"\W+", "-", request.node.originalname)
    cassette = (CASSETTES if live else tmp_path) / f"{name}.yaml"
    with connect_pool(Timing()) as pool, ExitStack() as recorded:
        opened = Services(Vault("default"), settings.endpoints, pool)
        if request.param == "recording":
            with RECORDER.use_cassette(str(cassette), record_mode="all"):
                request.function(opened)
            recorded.enter_context(RECORDER.use_cassette(str(cassette), record_mode="none"))
        elif live:
            recorded.enter_context(RECORDER.use_cassette(str(cassette), record_mode="all"))
        yield opened


def test_the_business_has_a_country_and_a_base_currency(services: Services) -> None:
    books = services.sage.books()

    assert re.fullmatch("[A-Z]{2}", books.country)
    assert re.fullmatch("[A-Z]{3}", books.base_currency)


def test_tax_rates_carry_percentages(services: Services) -> None:
    rates = services.sage.tax_rates()

    assert rates
    assert all(rate.percentages for rate in rates if rate.is_visible)


def test_some_ledger_accounts_are_for_sales_and_some_are_not(services: Services) -> None:
    accounts = services.sage.ledger_accounts()

    assert {account.is_for_sales for account in accounts} == {True, False}
    assert all(account.nominal_code.isdigit() for account in accounts)


def test_customers_name_their_currency(services: Services) -> None:
    customers = services.sage.contacts.all()

    assert customers
    assert all(re.fullmatch("[A-Z]{3}", c.currency) for c in customers if c.currency)


def test_an_unknown_document_is_none_not_an_error(services: Services) -> None:
    assert services.sage.documents.one(INVOICE, "0" * 32) is None


def test_countries_are_known_by_name_and_code(services: Services) -> None:
    codes = services.sage.countries()

    assert codes["united kingdom"] == codes["gb"] == "GB"


def test_the_token_belongs_to_its_organisation(services: Services) -> None:
    assert services.productive.organization_name()


def test_service_types_have_names(services: Services) -> None:
    assert all(services.productive.service_types().values())


def test_a_recording_holds_no_secret(connected: Sandbox, tmp_path: Path) -> None:
    settings, _ = config.load(tmp_path / "none.toml", os.environ)
    cassette = tmp_path / "all.yaml"

    with (
        connect_pool(Timing()) as pool,
        RECORDER.use_cassette(str(cassette), record_mode="all"),
    ):
        opened = Services(Vault("default"), settings.endpoints, pool)
        opened.sage.contacts.all()
        opened.productive.invoices.read(ids=["123"])
        (invoice,), _ = opened.productive.invoices.read(ids=["101"])
        opened.productive.pdfs.fetch(str(invoice.pdf_url))

    sign_in = Vault("default").sage()
    text = cassette.read_text()
    assert "scrubbed" in text
    for secret in (
        Vault("default").productive().token,
        sign_in.access_token,
        sign_in.refresh_token,
        sign_in.client_secret,
        "bookkeeping@juniper-street.example",
    ):
        assert secret not in text
