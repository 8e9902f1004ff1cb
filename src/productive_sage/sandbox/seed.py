"""What the two services hold at the start: a small agency and its books.

Productive, organisation 4200 "Harbour & Pine", subsidiary 71 (its `bill_from` is 1071):

==== =========================== ======== ================================================
 id  company                     currency remarks
==== =========================== ======== ================================================
501  Northwind Traders Ltd       GBP      GB; in Sage
502  Northwind Trading Limited   GBP      GB; a name much like the first; in Sage, without address
503  Atelier Lumière SARL        EUR      France, with VAT number; in Sage
504  Kitsune Works K.K.          JPY      Japan; not in Sage
505  Blue Fjord Studios AS       GBP      Norway, so outside the country; not in Sage
506  O'Brien & Sons              GBP      GB; twice in Sage under this very name
507  Juniper Street Coffee Ltd   GBP      GB; address, e-mail, VAT number; not in Sage
==== =========================== ======== ================================================

Their billing addresses are the contact entries 1501 to 1507. Service types: 11 Design,
12 Development, 13 Strategy, 14 Hosting (archived). Services: 2101 to 2105. Tax rates: 301 VAT 20%,
302 VAT 5%, 303 VAT 0%. Lines are `<invoice id><position, three digits>`, the PDF of invoice n is
attachment 9000 + n.

=== =============== ======= ==========================================================
 id number          company what is in it
=== =============== ======= ==========================================================
101 INV-2026-001    501     Design 10 h x 95.00, Development 7.5 h x 110.00
102 none            501     a draft
103 INV-2026-003    502     line discounts and fractional quantities; no PDF
104 INV-2026-004    503     EUR, document discount 7.5% over three lines
105 INV-2026-005    501     120 lines
106 INV-2026-006    502     no service type, no description, HTML in descriptions
107 INV-2026-007    501     comes to zero
108 INV-2026-008    504     yen
109 INV-2026-009    505     GBP to a customer in Norway, no tax
110 CN-2026-001     501     credit note for the whole of 111
111 INV-2026-011    501     credited
112 INV-2026-012    502     a negative line, the total positive; no PDF
113 INV-2026-013    501     deleted
114 INV-2026-014    506     a customer who is twice in Sage
115 INV-2026-015    501     total below zero
116 INV-2026-016    501     the same number as 117
117 INV-2026-016    502     the same number as 116
118 INV-2026-018    502     a description of 3,000 characters
119 INV-2026-019    503     EUR, plain
123 INV-2026-023    507     three lines, a fractional quantity, a discount
124 INV-2026-024    507     plain; no PDF
125 INV-2026-025    507     plain, 5% and 20% VAT
=== =============== ======= ==========================================================

Sage, lead business "Harbour & Pine Ltd" (GBP, Plus), and "Harbour & Pine Labs Ltd" (empty books,
Standard, no foreign currency). Ids are `books.sage_id(business, kind, n)`, where n counts the rows
in the order written here; the business is "main" or "labs".
"""

from __future__ import annotations

from decimal import Decimal

from .agency import Agency
from .books import address_of, sage_id
from .pdf import one_page
from .productive import Productive
from .productive_contract import RESOURCES
from .server import Record, Switches

ORGANIZATION_ID = "4200"
PRODUCTIVE_TOKEN = "sandbox-productive-token-9Z"  # noqa: S105 - the imitation's own, known to all
MAIN_BUSINESS_ID = sage_id("sandbox", "business", 1)
LABS_BUSINESS_ID = sage_id("sandbox", "business", 2)
AREAS = ("sales", "purchases", "contacts", "settings")
"""What a role in Sage gives access to: `FULL`, `RESTRICTED`, `READ_ONLY` or `NO_ACCESS` each."""
_BORN = "2026-01-05T09:00:00Z"
_NO_PDF = frozenset({"102", "103", "112", "124"})

_CURRENCIES = {
    "GBP": ("Pound Sterling (GBP)", "1"),
    "EUR": ("Euro (EUR)", "0.8612"),
    "JPY": ("Japanese Yen (JPY)", "0.0051"),
    "USD": ("US Dollar (USD)", "0.7431"),
    "NOK": ("Norwegian Krone (NOK)", "0.0736"),
    "KWD": ("Kuwaiti Dinar (KWD)", "2.4231"),
    "BHD": ("Bahraini Dinar (BHD)", "1.9764"),
}
_COUNTRIES = (
    "GB United Kingdom, IE Ireland, FR France, DE Germany, ES Spain, IT Italy, NL Netherlands,"
    " BE Belgium, PT Portugal, AT Austria, CH Switzerland, NO Norway, SE Sweden, DK Denmark,"
    " FI Finland, PL Poland, HR Croatia, US United States, CA Canada, AU Australia,"
    " NZ New Zealand, JP Japan"
).split(", ")
_SALES = ["sales", "other_receipts", "journals", "reporting"]
_COSTS = ["expenses", "other_payments", "journals", "reporting"]
_LEDGER_ACCOUNTS = (
    (4000, "Sales - Products", _SALES),
    (4010, "Sales - Services", _SALES),
    (4900, "Other income", _SALES),
    (7500, "Office costs", _COSTS),
    (7400, "Travel", _COSTS),
    (1200, "Current", ["banking", "journals", "reporting"]),
    # Enough for a second page of the default size.
    *((8000 + number, f"Sundry costs {number}", _COSTS) for number in range(1, 21)),
)
_SERVICES = (
    ("DESIGN", "Design work", 4010, True),
    ("DEV", "Development", 4000, True),
    ("OLD", "Fax advice", 4010, False),
)
_PRODUCTS = (("PRINT", "Printed matter", 4000, True),)
_CUSTOMERS = (
    ("Northwind Traders Ltd", "NORTH001", "GBP", "GB", "accounts@northwind-traders.example"),
    ("Northwind Trading Limited", "NORTH002", "GBP", "GB", "pay@northwind-trading.example"),
    ("Atelier Lumière SARL", "ATELI001", "EUR", "FR", "compta@atelier-lumiere.example"),
    ("O'Brien & Sons", "OBRIEN1", "GBP", "GB", None),
    ("O'Brien & Sons", "OBRIEN2", "GBP", "GB", None),
)
_NO_ADDRESS = frozenset({"NORTH002", "OTHER001"})
_GB_RATES = (
    ("GB_STANDARD", "STANDARD", "Standard 20.00%", "20"),
    ("GB_LOWER", "LOWER", "Lower Rate 5.00%", "5"),
    ("GB_ZERO", "ZERO", "Zero Rated 0.00%", "0"),
    ("GB_EXEMPT", "EXEMPT", "Exempt 0.00%", "0"),
    ("GB_NO_TAX", "NO_TAX", "No VAT", "0"),
    ("GB_HIDDEN", "FLAT", "Flat 7.50%", "7.5"),
    ("GB_REDUCED_2020", "REDUCED", "Reduced 5.00%", "5"),
)
_STANDARD_RATES = {"IE": "23.00", "ES": "21.00", "FR": "20.00", "DE": "19.00", "US": "9.25"}
_PERIODS: dict[str, list[tuple[str, str, str | None]]] = {
    "GB_STANDARD": [("17.5", "2010-01-01", "2011-01-03"), ("20.0", "2011-01-04", None)],
    "GB_LOWER": [("5.0", "1997-09-01", None)],
    "GB_REDUCED_2020": [("5.0", "2020-07-15", "2020-12-31")],
}
_TABLES = (
    "contacts services products stock_items sales_invoices sales_credit_notes attachments"
    " contact_payments contact_allocations"
).split()
_OTHERS = (  # twenty-five, so that customers fill two pages
    "Acorn Alder Ash Beech Birch Cedar Cherry Elder Elm Fir Hawthorn Hazel Holly Hornbeam Larch"
    " Lime Maple Oak Poplar Rowan Spruce Sycamore Walnut Willow Yew"
).split()


# -- Sage -----------------------------------------------------------------------------------


def sage_state() -> Record:
    """Make Sage's state."""
    main = empty_books(MAIN_BUSINESS_ID, "main", "Harbour & Pine Ltd")
    labs = empty_books(LABS_BUSINESS_ID, "labs", "Harbour & Pine Labs Ltd", edition="ACCOUNTS")
    labs["financial"]["multi_currency_enabled"] = False
    others = (
        (f"{name} & Co", f"OTHER{number:03d}", "GBP", "GB", None)
        for number, name in enumerate(_OTHERS, 1)
    )
    supplier = ("Paper & Ink Supplies Ltd", "PAPER001", "GBP", "GB", None)
    for row in (*_CUSTOMERS, supplier, *others):
        _contact(main, "VENDOR" if row is supplier else "CUSTOMER", row)
    for kind, rows in (("service", _SERVICES), ("product", _PRODUCTS)):
        for number, item in enumerate(rows, 1):
            key = sage_id("main", kind, number)
            main[f"{kind}s"][key] = _catalogue_item(main, key, item)
    return {
        "lead": MAIN_BUSINESS_ID,
        "books": {MAIN_BUSINESS_ID: main, LABS_BUSINESS_ID: labs},
        "idempotency": {},
        "role": dict.fromkeys(AREAS, "FULL"),
        "user": {
            "id": sage_id("sandbox", "user", 1),
            "displayed_as": "Robin Pine",
            "first_name": "Robin",
            "last_name": "Pine",
            "initials": "RP",
            "email": "robin@harbourandpine.example",
            "locale": "en-GB",
        },
    }


def empty_books(
    key: str, label: str, name: str, *, country: str = "GB", edition: str = "ACCOUNTING"
) -> Record:
    """Make the books of a business in which nothing has happened; `label` is part of their ids."""
    books: Record = {
        "business": {
            "id": key,
            "name": name,
            "country": country,
            "edition": edition,
            "subscription": "ACTIVE",
        },
        "financial": {
            "base_currency": "GBP",
            "accounts_start_date": "2019-04-01",
            "year_end_date": "2026-03-31",
            "year_end_lockdown_date": None,
            "accounting_type": "accrual",
            "multi_currency_enabled": True,
            "use_live_exchange_rates": True,
            "tax_number": "GB123456789",
            "tax_scheme": "GB_STANDARD",
            "updated_at": _BORN,
        },
        "invoicing": {
            "days": 30,
            "next_invoice_number": 1,
            "next_credit_note_number": 1,
            "sales_invoice_number_prefix": "SI-",
            "sales_credit_note_number_prefix": "SCN-",
            "updated_at": _BORN,
        },
        "currencies": {
            code: {"displayed_as": shown, "rate": Decimal(rate)}
            for code, (shown, rate) in _CURRENCIES.items()
        },
        "countries": {
            text[:2]: {"displayed_as": f"{text[3:]} ({text[:2]})"} for text in _COUNTRIES
        },
        "tax_rates": tax_rates(),
        "ledger_accounts": {},
        "references": [],
        "numbers": {},
        "deleted": {},
        # New records are counted apart from the seed's, whose order may yet change.
        "counters": dict.fromkeys((row.removesuffix("s") for row in _TABLES), 1000),
        **{table: {} for table in _TABLES},
    }
    for number, (code, shown, scopes) in enumerate(_LEDGER_ACCOUNTS, 1):
        account = sage_id(label, "ledger_account", number)
        books["ledger_accounts"][account] = _stamped(
            account, {"nominal_code": code, "name": shown, "scopes": list(scopes)}
        )
    return books


def _stamped(key: str, fields: Record) -> Record:
    return {"id": key, "created_at": _BORN, "updated_at": _BORN, "born": 0.0, **fields}


def tax_rates(country: str = "GB") -> Record:
    """Make the tax rates of a business; only the British ones have a history."""
    rows: tuple[tuple[str, ...], ...] = _GB_RATES
    if country != "GB":
        standard = _STANDARD_RATES[country]
        rows = (
            (f"{country}_STANDARD", "STANDARD", f"Standard {standard}%", standard),
            (f"{country}_ZERO", "ZERO", "Zero Rated 0.00%", "0"),
            (f"{country}_EXEMPT", "EXEMPT", "Exempt 0.00%", "0"),
            # Not every country's has a name for an id.
            (sage_id(country, "tax_rate", 1), "NO_TAX", "No Tax", "0"),
        )
    return {
        key: _stamped(
            key,
            {
                "name": code,
                "shown": shown,
                "percentage": Decimal(percentage),
                "percentages": [
                    {"percentage": Decimal(value), "from_date": since, "to_date": until}
                    for value, since, until in _PERIODS.get(key, [])
                ],
                "is_visible": key != "GB_HIDDEN",
            },
        )
        for key, code, shown, percentage in rows
    }


def _contact(books: Record, kind: str, row: tuple[str, str, str, str, str | None]) -> None:
    name, code, currency, country, email = row
    key = sage_id("main", "contact", len(books["contacts"]) + 1)
    books["contacts"][key] = _stamped(
        key,
        {
            "type": kind,
            "name": name,
            "reference": code,
            "tax_number": "FR40303265045" if country == "FR" else None,
            "notes": None,
            "locale": "en-GB",
            "source_guid": None,
            "credit_days": None,
            "currency": currency,
            "main_address": address_of(
                {} if code in _NO_ADDRESS else {"address_line_1": "1 High Street"},
                address_of({"country_id": country}),
            ),
            "address_name": None if code in _NO_ADDRESS else "Main Address",
            "main_contact_person": {
                "name": "Main Contact",
                "email": email,
                "telephone": None,
                "mobile": None,
            },
        },
    )
    books["references"].append(code)


def _catalogue_item(books: Record, key: str, row: tuple[str, str, int, bool]) -> Record:
    code, shown, nominal, active = row
    account = next(
        entry["id"]
        for entry in books["ledger_accounts"].values()
        if entry["nominal_code"] == nominal
    )
    return _stamped(
        key,
        {
            "item_code": code,
            "description": shown,
            "ledger_account_id": account,
            "tax_rate_id": "GB_STANDARD",
            "active": active,
        },
    )


# -- Productive -----------------------------------------------------------------------------

_COMPANIES = (
    (501, "Northwind Traders Ltd", "GBP", "United Kingdom", "GB302145674"),
    (502, "Northwind Trading Limited", "GBP", "GB", None),
    (503, "Atelier Lumière SARL", "EUR", "France", "FR40303265045"),
    (504, "Kitsune Works K.K.", "JPY", "JP", None),
    (505, "Blue Fjord Studios AS", "GBP", "Norway", "NO987654325MVA"),
    (506, "O'Brien & Sons", "GBP", "United Kingdom", None),
    (507, "Juniper Street Coffee Ltd", "GBP", "United Kingdom", "GB 123 4567 82"),
)
_PLACES = {
    501: (
        "12 Quayside\nFloor 2",
        "Bristol",
        "Avon",
        "BS1 6AA",
        "accounts@northwind-traders.example",
    ),
    502: ("80 Mill Lane", "Leeds", None, "LS1 4AB", "pay@northwind-trading.example"),
    503: ("14 rue des Tanneurs", "Lyon", None, "69001", "compta@atelier-lumiere.example"),
    504: ("2-11-3 Meguro", "Tokyo", None, "153-0063", "keiri@kitsune.example"),
    505: ("Bryggen 7", "Bergen", None, "5003", "faktura@bluefjord.example"),
    506: ("The Old Forge", "York", None, "YO1 7HH", None),
    507: (
        "7 Juniper Street\nUnit 3, The Roastery Building",
        "London",
        "Greater London",
        "E1 6QL",
        "bookkeeping@juniper-street.example",
    ),
}


def fill_productive(productive: Productive) -> None:
    """Give Productive its state."""
    productive.load(
        {
            "tables": {kind: {} for kind in RESOURCES},
            "deleted_invoices": {},
            "files": {},
            "uploads": {},
            "counters": {"payments": 7000, "attachments": 20000},
        }
    )
    _fixed_records(productive)
    for row in _COMPANIES:
        _company(productive, *row)
    # The switches are of no use to the seed: the agency only writes them.
    agency = Agency(productive, Switches(), ORGANIZATION_ID)
    _plain_invoices(agency)
    _odd_invoices(agency)
    agency.delete_invoice(113)
    for deleted in productive.table("deleted_items").values():
        deleted["attributes"]["created_at"] = "2026-02-14T16:40:00.000+01:00"
    for key, invoice in productive.table("invoices").items():
        if key not in _NO_PDF:
            own = invoice["attributes"]
            total = f"Total {own['amount_with_tax']} {own['currency']}"
            agency.set_pdf(key, one_page(["Harbour & Pine", str(own["number"]), total]))


def _put(productive: Productive, kind: str, key: int | str, attributes: Record, **rel: str) -> None:
    productive.table(kind)[str(key)] = {
        "id": str(key),
        "attributes": attributes,
        "rel": {"organization": ORGANIZATION_ID, **rel},
    }


def _fixed_records(productive: Productive) -> None:
    _put(
        productive,
        "organizations",
        ORGANIZATION_ID,
        {
            "name": "Harbour & Pine",
            "currency": "GBP",
            "time_zone": "London",
            "locale": "en-GB",
            "due_days": 30,
            "payment_terms_type": "days_after_invoice_date",
            "invoice_rounding_method_id": 1,
            "decimal_places_id": 2,
            "subsidiary_count": 1,
        },
        owner="801",
    )
    _put(
        productive,
        "people",
        801,
        {"first_name": "Robin", "last_name": "Pine", "email": "robin@harbourandpine.example"},
        subsidiary="71",
    )
    _put(
        productive,
        "organization_memberships",
        901,
        {"position": 1, "updated_at": "2026-01-05T10:00:00.000+01:00"},
        person="801",
    )
    _put(productive, "subsidiaries", 71, {"name": "Harbour & Pine Ltd"}, bill_from="1071")
    _put(
        productive,
        "contact_entries",
        1071,
        {
            "name": "Harbour & Pine Ltd",
            "address": "1 Harbour Street",
            "city": "Bristol",
            "zipcode": "BS1 5TY",
            "country": "GB",
            "vat": "GB123456789",
            "billing_address": True,
            "contactable_type": "Subsidiary",
        },
        subsidiary="71",
    )
    for key, name in ((11, "Design"), (12, "Development"), (13, "Strategy"), (14, "Hosting")):
        archived = "2025-12-01T09:00:00.000+01:00" if key == 14 else None
        _put(productive, "service_types", key, {"name": name, "archived_at": archived})
    for key, name, kind in (
        (2101, "Brand design sprint", "11"),
        (2102, "Backend development", "12"),
        (2103, "Strategy workshop", "13"),
        (2104, "Managed hosting", "14"),
        (2105, "Travel & subsistence", ""),
    ):
        own = {"name": name, "position": 1, "unit_id": 1, "billable": True, "currency": "GBP"}
        own["price"] = Decimal(95)
        _put(productive, "services", key, own, **({"service_type": kind} if kind else {}))
    for key, value in ((301, 20), (302, 5), (303, 0)):
        own = {
            "name": f"VAT {value}%",
            "primary_component_name": "VAT",
            "primary_component_value": Decimal(value),
            "secondary_component_value": Decimal(0) if value else None,
        }
        _put(productive, "tax_rates", key, own, subsidiary="71")


def _company(
    productive: Productive, key: int, name: str, currency: str, country: str, vat: str | None
) -> None:
    address, city, state, zipcode, email = _PLACES[key]
    _put(
        productive,
        "companies",
        key,
        {
            "name": name,
            # Often empty: the name is then what is billed.
            "billing_name": name if key in {503, 507} else None,
            "vat": vat,
            "company_code": f"C{key}",
            "default_currency": currency,
            "domains": [],
            "due_days": 30,
            "payment_terms_type": "days_after_invoice_date",
            "default_subsidiary_id": 71,
            "default_tax_rate_id": 301,
            "created_at": "2025-06-01T10:00:00.000+02:00",
            "last_activity_at": "2026-02-01T10:00:00.000+01:00",
            "tag_list": [],
            "sample_data": False,
        },
        default_subsidiary="71",
        default_tax_rate="301",
    )
    _put(
        productive,
        "contact_entries",
        1000 + key,
        {
            "type": "billing",
            "name": name,
            "address": address,
            "city": city,
            "state": state,
            "zipcode": zipcode,
            "country": country,
            "email": email,
            "vat": vat,
            "billing_address": True,
            "billing_email": email is not None,
            "contactable_type": "Client",
        },
        company=str(key),
    )


def _line(
    unit_price: str, quantity: str = "1", work: int | None = None, text: str = "", **more: object
) -> Record:
    """Make a line; `work` is the service type, to which a service of the same name belongs."""
    names = {11: "Design", 12: "Development", 13: "Strategy", 14: "Hosting"}
    line: Record = {
        "unit_price": unit_price,
        "quantity": quantity,
        "description": text or names.get(work or 0),
        **more,
    }
    if work:
        line |= {"service_type_id": work, "service_id": 2090 + work}
    return line


def _plain_invoices(agency: Agency) -> None:
    bill = agency.add_invoice
    work = [_line("95.00", "10", 11), _line("110.00", "7.5", 12)]
    bill(id=101, company_id=501, invoiced_on="2026-01-15", lines=work)
    bill(id=102, company_id=501, finalized=False, lines=[_line("95.00", "3", 11)])
    many = [
        _line(f"{20 + number}.{number % 100:02d}", f"{number % 7 + 1}.25", 11 + number % 3)
        for number in range(120)
    ]
    bill(id=105, company_id=501, invoiced_on="2026-01-20", lines=many)
    bill(id=107, company_id=501, lines=[_line("0.00", "1", 13, "Introductory meeting, free")])
    bill(id=111, company_id=501, invoiced_on="2026-01-28", lines=work)
    undone = [_line("95.00", "-10", 11), _line("110.00", "-7.5", 12)]
    bill(
        id=110,
        company_id=501,
        number="CN-2026-001",
        invoiced_on="2026-02-03",
        credits_invoice=111,
        lines=undone,
    )
    bill(id=113, company_id=501, lines=[_line("95.00", "1", 11)])
    bill(id=114, company_id=506, lines=[_line("95.00", "4", 11)])
    for key, company in ((116, 501), (117, 502)):
        bill(
            id=key,
            company_id=company,
            number="INV-2026-016",
            lines=[_line("120.00", "2", 13), _line("45.50", "1", None, "Train to Leeds")],
        )
    coffee = [
        _line("95.00", "12.333", 11, "Menu and signage"),
        _line("110.00", "6.5", 12, "Ordering page", discount="12.5"),
        _line("140.00", "2", 13, "Autumn campaign"),
    ]
    bill(id=123, company_id=507, invoiced_on="2026-02-09", lines=coffee, sent_on="2026-02-10")
    bill(id=124, company_id=507, invoiced_on="2026-02-16", lines=[_line("95.00", "8", 11)])
    two_rates = [_line("95.00", "2.5", 11), _line("33.33", "3", 13, "Printing", tax_percent=5)]
    bill(id=125, company_id=507, invoiced_on="2026-02-23", lines=two_rates)


def _odd_invoices(agency: Agency) -> None:
    bill = agency.add_invoice
    fractions = [
        _line("99.99", "1.333", 12),
        _line("10.01", "0.333", 11),
        _line("120.00", "8", 13, discount="12.5"),
        _line("87.35", "2.25", 12, "Support", discount="3.33"),
    ]
    bill(id=103, company_id=502, invoiced_on="2026-01-18", lines=fractions)
    spread = [_line("33.33", "3", 11), _line("19.99", "1.5", 12), _line("45.45", "7", 13)]
    bill(id=104, company_id=503, currency="EUR", discount="7.5", tax_percent=None, lines=spread)
    texts = [
        _line("50.00", "1", None, "Courier"),
        _line("18.40", "2", None, "") | {"service_id": 2105},
        _line("95.00", "3", 11, "<p>Logo &amp; stationery<br>Round&nbsp;2</p>"),
        _line("110.00", "1", 12, "<ul><li>Fix &lt;header&gt;</li><li>Caf&eacute; menu</li></ul>"),
        _line("20.00", "12", 14, "Hosting, 5 < 10 GB & mail"),
    ]
    bill(id=106, company_id=502, lines=texts)
    yen = [_line("8500", "12", 12), _line("30000", "1", 11), _line("1234", "0.5", 13)]
    bill(id=108, company_id=504, currency="JPY", tax_percent=None, lines=yen)
    bill(id=109, company_id=505, tax_percent=None, lines=[_line("105.00", "6", 11)])
    less = [_line("95.00", "10", 11), _line("150.00", "-1", None, "Goodwill")]
    bill(id=112, company_id=502, lines=less)
    bill(id=115, company_id=501, lines=[_line("50.00", "1", 11), _line("80.00", "-1", 12)])
    essay = ("Notes of the workshop, in full. " * 100)[:3000]
    bill(id=118, company_id=502, lines=[_line("500.00", "1", 13, essay)])
    plain = [_line("90.00", "5", 11), _line("75.25", "2", 12)]
    bill(id=119, company_id=503, currency="EUR", tax_percent=None, lines=plain)
