"""What people type wrongly, and the answer each gets: what is wrong, and what to do next.

A row is the command as typed, the exit code, the error's code, words of the answer, and the next
step it names. Each is judged by one question: does an accountant know what to do now?
"""

import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from productive_sage import cli
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, writes

Row = tuple[str, int, str, str, str]

COMMANDS: list[Row] = [
    ("copyinvoice 101", 2, "usage", "no command `copyinvoice`", "`psage copy-invoice`?"),
    ("copy invoice 101", 2, "usage", "no command `copy`", "`psage copy-invoice`?"),
    ("copy 101", 2, "usage", "no command `copy`", "`psage copy-invoice`?"),
    ("copy-invoices 101", 2, "usage", "no command `copy-invoices`", "`psage copy-invoice`?"),
    ("Copy-Invoice 101", 2, "usage", "no command `Copy-Invoice`", "`psage copy-invoice`?"),
    ("creditnote 110", 2, "usage", "no command `creditnote`", "`psage credit-note`?"),
    ("credit 110", 2, "usage", "no command `credit`", "`psage credit-note`?"),
    ("sync", 2, "usage", "no command `sync`", "`psage sync-payments`?"),
    ("sync payments", 2, "usage", "no command `sync`", "`psage sync-payments`?"),
    ("payments", 2, "usage", "no command `payments`", "`psage sync-payments`?"),
    ("lst", 2, "usage", "no command `lst`", "`psage list`?"),
    ("ls", 2, "usage", "no command `ls`", "`psage list`?"),
    ("invoices", 2, "usage", "no command `invoices`", "`psage list`?"),
    ("login", 2, "usage", "no command `login`", "`psage connect`?"),
    ("conect", 2, "usage", "no command `conect`", "`psage connect`"),
    ("settings", 2, "usage", "no command `settings`", "`psage configure`?"),
    ("log", 2, "usage", "no command `log`", "`psage history`?"),
    ("taxes", 2, "usage", "no command `taxes`", "`psage help taxes`"),
    ("frobnicate", 2, "usage", "no command `frobnicate`", "`psage --help`"),
    ("-v", 2, "usage", "no command is named", "`psage --help`"),
    ("--versoin", 2, "usage", "no option `--versoin`", "`--version`?"),
    ("--profle x list", 2, "usage", "no option `--profle`", "`--profile`?"),
    ("help copyinvoice", 2, "usage", "topic `copyinvoice`", "`copy-invoice`?"),
    ("help copy invoice", 2, "usage", "topic `copy`", "`copy-invoice`?"),
    ("help taxs", 2, "usage", "topic `taxs`", "`taxes`"),
    ("help xyz", 2, "usage", "topic `xyz`", "`psage help` lists both"),
]
"""Commands and topics that are none."""

OPTIONS: list[Row] = [
    ("copy-invoice 101 --dryrun", 2, "usage", "no option `--dryrun`", "`--dry-run`?"),
    ("copy-invoice 101 --dry", 2, "usage", "no option `--dry`", "`--dry-run`?"),
    ("copy-invoice 101 -n", 2, "usage", "no option `-n`", "`--dry-run`?"),
    ("copy-invoice 101 --taxrate 20", 2, "usage", "no option `--taxrate`", "`--tax-rate`?"),
    ("copy-invoice 101 --tax 20", 2, "usage", "no option `--tax`", "`--tax-rate`?"),
    ("copy-invoice 101 --client X", 2, "usage", "no option `--client`", "`--customer`"),
    ("copy-invoice 101 --force", 2, "usage", "no option `--force`", "`--create-new`?"),
    ("copy-invoice 101 --update", 2, "usage", "no option `--update`", "`--update-existing`?"),
    ("copy-invoice --all", 2, "usage", "no option `--all`", "`--all-uncopied`?"),
    ("copy-invoice 1 --date 2026-01-01", 2, "usage", "no option `--date`", "change them in Prod"),
    ("copy-invoice 1 --max-deletes 3", 2, "usage", "no option `--max-d", "`psage sync-payments`"),
    ("sync-payments --update-existing", 2, "usage", "no option `--upd", "`psage copy-invoice`"),
    ("sync-payments --all", 2, "usage", "no option `--all`", "`--full`?"),
    ("list --status open", 2, "usage", "no option `--status`", "`--not-copied`"),
    ("list --from 2026-01-01", 2, "usage", "no option `--from`", "`--since`?"),
    ("list --dry-run", 2, "usage", "no option `--dry-run`", "`psage list --help`"),
    ("list --csv", 2, "usage", "no option `--csv`", "`--format`?"),
    ("open 101 --product", 2, "usage", "no option `--product`", "`--productive`?"),
    ("status --chek", 2, "usage", "no option `--chek`", "`--check`"),
    ("doctor --fix", 2, "usage", "no option `--fix`", "`psage doctor --help`"),
    ("configure --ledger 4000", 2, "usage", "no option `--ledger`", "`--default-ledger`?"),
    ("copy-invoice -1", 2, "usage", "no option `-1`", "`psage copy-invoice -- -1`"),
    ("copy-invoice 101 --tax-rate", 2, "usage", "`--tax-rate` needs a value", "--tax-rate RATE`"),
    ("copy-invoice 101 --customer", 2, "usage", "`--customer` needs a value", "CONTACT`"),
    ("sync-payments --invoice", 2, "usage", "`--invoice` needs a value", "`--invoice "),
    ("list --config", 2, "usage", "`--config` needs a value", "`psage --help`"),
    ("list --profile", 2, "usage", "`--profile` needs a value", "`psage --help`"),
    (
        "copy-invoice 101 --customer ''",
        2,
        "usage",
        "value of `--customer` is empty",
        "leave it out",
    ),
    ("list --month ''", 2, "usage", "value of `--month` is empty", "leave it out"),
    ("copy-invoice 101 --dry-run=yes", 2, "usage", "takes no value", "write `--dry-run` alone"),
    ("copy-invoice 101 --tax-rate 20 --no-tax", 2, "usage", "exclude each other", "leave one"),
    ("copy-invoice 1 --update-existing --create-new", 2, "usage", "exclude each", "leave one"),
    ("copy-invoice 1 --customer X --create-customer", 2, "usage", "exclude each", "leave one"),
    ("copy-invoice 101 --id --number", 2, "usage", "exclude each other", "leave one of them out"),
    ("copy-invoice 101 --overwrite", 2, "usage", "goes with", "add `--update-existing`"),
    ("copy-invoice 101 --remember", 2, "usage", "none is named", "add `--customer NAME`"),
    ("copy-invoice --month 2026-03", 2, "usage", "choose among", "add `--all-uncopied`"),
    ("copy-invoice 101 --all-uncopied", 2, "usage", "named, and selected too", "name them, or"),
    ("apply", 2, "usage", "`psage apply` needs FILE", "`psage apply march.json --show`"),
    (
        "apply gone.json",
        2,
        "plan_invalid",
        "`gone.json` cannot be read",
        "with `--plan FILE",
    ),
    ("apply .", 2, "plan_invalid", "`.` cannot be read", "make one with `--plan FILE`"),
    ("apply-plan x", 2, "usage", "no command `apply-plan`", "`psage apply`?"),
    ("copy-invoice 101 --plan .", 2, "usage", "is there, and is no plan", "name another file"),
    ("copy-invoice 101 --plan no/x.json", 2, "usage", "cannot be written", "in a folder that is"),
    ("list --copied --not-copied", 2, "usage", "exclude each other", "name one, or none"),
    ("list --json --format csv", 2, "usage", "exclude each other", "leave one of them out"),
    ("list --month 2026-03 --since 2026-03-01", 2, "usage", "exclude each other", "leave one"),
    ("history --verify --format csv", 2, "usage", "exclude each other", "leave one of them out"),
    ("status --seen x --all-profiles", 2, "usage", "exclude each other", "leave one of them out"),
    ("disconnect sage --purge", 2, "usage", "a whole profile", "leave `--purge` out"),
    ("connect sage --organization-id 4200", 2, "usage", "no options for Prod", "leave `sage` out"),
    ("connect productive --client-id x", 2, "usage", "no options for Sage", "sign in to both"),
]
"""Options that are none, of other commands, without a value, or that do not go together."""

VALUES: list[Row] = [
    ("list --since 31/01/2026", 2, "usage", "is not a date", "write it like 2026-01-31"),
    ("list --since yesterday", 2, "usage", "is not a date", "write it like 2026-01-31"),
    ("list --until 2026-02-30", 2, "usage", "is not a date", "write it like 2026-01-31"),
    ("history --since 01.02.2026", 2, "usage", "is not a date", "write it like 2026-01-31"),
    ("list --month March", 2, "usage", "`--month March` is no month", "write it like 2026-03"),
    ("list --month 2026", 2, "usage", "`--month 2026` is no month", "write it like 2026-03"),
    ("reconcile --month 2026-00", 2, "usage", "is no month", "write it like 2026-03"),
    (
        "reconcile --since 2026-03-01 --until 2026-02-01",
        *(2, "usage", "is after `--until 2026-02-01`", "`--since 2026-02-01 --until 2026-03-01`"),
    ),
    ("copy-invoice --all-uncopied --limit 0", 2, "usage", "`--limit 0` must be", "1 or more"),
    ("copy-invoice --all-uncopied --limit ten", 2, "usage", "whole number", "1 or more"),
    ("sync-payments --max-deletes many", 2, "usage", "must be a whole number", "0 or more"),
    ("sync-payments --since 2099-01-01", 2, "usage", "in the future", "name a day that is over"),
    ("connect --port abc", 2, "usage", "must be a whole number", "from 1 to 65535"),
    ("sandbox --port abc", 2, "", "`--port abc` must be a whole number", "from 0 to 65533"),
    ("sandbox --port 99999", 2, "", "`--port 99999` must be", "from 0 to 65533"),
    ("sandbox --state folder", 2, "", "is a folder", "name a file"),
    ("sandbox --state gone/state.json", 2, "", "cannot be kept in", "another file with `--state`"),
    ("list --format xml", 2, "usage", "must be `table`, `csv` or `json`", "`psage list --help`"),
    ("list --format CSV", 2, "usage", "must be `table`, `csv` or `json`", "did you mean `csv`?"),
    ("reconcile --format pdf", 2, "usage", "`csv`, `json` or `html`", "`psage reconcile --help`"),
    ("connect sag", 2, "usage", "must be `productive` or `sage`", "did you mean `sage`?"),
    ("disconnect both", 2, "usage", "must be `productive` or `sage`", "leave `both` out"),
    ("customers list", 2, "usage", "must be `link` or `forget`", "leave `list` out"),
    ("customers add X Y", 2, "usage", "must be `link` or `forget`", "did you mean `link`?"),
    ("customers link one", 2, "usage", "takes a company and a contact", "for example `psage cust"),
    ("doctor now", 2, "usage", "does not take `now`", "`psage doctor --help`"),
    ("open", 2, "usage", "needs DOCUMENT", "for example `psage open INV-2026-023`"),
    ("open 101 102", 2, "usage", "does not take `102`", "`psage open --help`"),
    ("open 101,102", 2, "usage", "one document can be opened", "name one"),
    ("history --document 1,2", 2, "usage", "names one document", "name one at a time"),
    ("copy-invoice", 2, "usage", "no document is named", "or `--all-uncopied`"),
    ("copy-invoice ''", 2, "usage", "value of `DOCUMENT` is empty", "give `DOCUMENT` a value"),
    ("copy-invoice ,", 2, "usage", "no document is named", "give a number, an id or an address"),
    ("copy-invoice --retry-failed gone.csv", 2, "usage", "cannot be read", "that `--report` wrote"),
    ("copy-invoice 101 --pdf-file gone.pdf", 2, "usage", "no file `gone.pdf`", "drag the file"),
    ("copy-invoice 101 --pdf-file folder", 2, "usage", "no file `folder`", "look at the name"),
    ("copy-invoice 101 --pdf-file notes.pdf", 2, "usage", "is not a PDF", "name the PDF file"),
    ("copy-invoice 101 --pdf-file notes.pdf --no-pdf", 2, "usage", "exclude each", "leave one"),
    ("--profile ../etc list", 2, "usage", "cannot be a profile name", "use letters, digits"),
    ("--config gone.toml list", 2, "usage", "does not exist", "look at `--config`"),
    ("--config folder list", 2, "usage", "`--config folder` is a folder", "name a file"),
]
"""Values of the wrong kind, and words too many or too few."""

NOT_CONNECTED: list[Row] = [
    ("list", 3, "not_connected", "Productive is not connected", "`psage connect productive`"),
    ("customers", 3, "not_connected", "is not connected", "`psage connect productive`"),
    ("reconcile", 3, "not_connected", "is not connected", "`psage connect productive`"),
    ("open 101", 3, "not_connected", "is not connected", "`psage connect productive`"),
    ("copy-invoice 101", 2, "no_default_ledger", "no default ledger", "--default-ledger CODE`"),
    ("sync-payments", 4, "payment_sync_off", "switched off", "--sync-payments-from DATE`"),
    ("configure --minor-digits JPY=0", 2, "input_needed", "obligatory", "add `--default-ledger"),
    ("--profile nobody list", 3, "not_connected", "profile `nobody`", "psage --profile nobody con"),
    ("history --document INV-9", 0, "", "nothing is recorded", "nothing is recorded"),
    ("disconnect sage", 0, "", "Nothing is connected", "nothing was changed"),
]
"""Before anything is set up."""
NO = "Productive has no invoice"
SEVERAL = "`psage copy-invoice --all-uncopied`"
HERE = "https://app.productive.io/4200-harbour"
DOCUMENTS: list[Row] = [
    ("copy-invoice 12", 4, "not_found", NO, "did you mean `INV-2026-012`?"),
    ("copy-invoice 999999", 4, "not_found", NO, "`psage list` shows what there is"),
    ("copy-invoice INV-2026-999", 4, "not_found", NO, "`psage list` shows what there is"),
    ("copy-invoice INV-2026-23", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice 'INV 2026 023'", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice INV2026023", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice INV_2026_023", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice INV\u20132026\u2013023", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice \u201eINV-2026-023\u201c", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice \"'INV-2026-023'\"", 4, "not_found", NO, "did you mean `INV-2026-023`?"),
    ("copy-invoice '#123'", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice 0123", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice +123", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice 123.0", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice \u0661\u0662\u0663", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice \uff11\uff12\uff13", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice PRD-123", 4, "not_found", NO, "did you mean `123`?"),
    ("copy-invoice -- -1", 4, "not_found", NO, "did you mean `CN-2026-001`"),
    ("copy-invoice 'INV-1;INV-2'", 4, "not_found", NO, "by spaces or commas"),
    ("copy-invoice all", 4, "not_found", NO, SEVERAL),
    ("copy-invoice '*'", 4, "not_found", NO, SEVERAL),
    ("copy-invoice 101-105", 4, "not_found", NO, SEVERAL),
    ("copy-invoice 101..105", 4, "not_found", NO, SEVERAL),
    ("copy-invoice 9,10", 4, "not_found", "2 refused", "did you mean `INV-2026-009`?"),
    (f"copy-invoice {HERE}/projects/101", 2, "usage", "not the address of an", "copy the address"),
    ("copy-invoice https://app.sageone.com/x/1", 2, "usage", "not the address of", "copy the addr"),
    ("copy-invoice app.productive.io/4200-h/", 2, "usage", "not the address of", "copy the addr"),
    (
        "copy-invoice app.productive.io/9999-x/invoices/101",
        *(4, "document_elsewhere", "organisation 9999", "with `--profile`"),
    ),
    ("copy-invoice INV-2026-023 --id", 2, "usage", "no id of a Productive", "leave `--id` out"),
    (
        "copy-invoice 110",
        4,
        "is_credit_note",
        "is a credit note",
        "`psage credit-note CN-2026-001`",
    ),
    ("copy-invoice 102", 4, "is_draft", "is a draft", "finalise it in Productive first"),
    ("copy-invoice 113", 4, "not_found", "was deleted in Productive", "`psage list`"),
    ("copy-invoice 115", 4, "amounts_unclear", "is below zero", "make it a credit note"),
    ("copy-invoice 108", 4, "currency_unclear", "does not guess", "--minor-digits JPY=0`"),
    ("copy-invoice INV-2026-016", 4, "number_ambiguous", "Northwind Trading Limited", "--id 116`"),
    (
        "credit-note 123",
        4,
        "not_a_credit_note",
        "is not a credit note",
        "`psage copy-invoice INV-2026-023`",
    ),
    (
        "credit-note 110",
        4,
        "invoice_not_copied",
        "has no copy in Sage",
        "`psage copy-invoice INV-2026-011`",
    ),
    ("credit-note 9999", 4, "not_found", "no credit note", "`psage list` shows what there is"),
    (
        "open 123",
        4,
        "invoice_not_copied",
        "has no copy in Sage",
        "`psage copy-invoice INV-2026-023`",
    ),
    ("open 9999", 4, "not_found", "no document `9999`", "`psage list` shows them all"),
]
"""Documents named in ways that name none, or one that cannot be copied."""

RATES = "Standard 20.00%, Lower Rate 5.00%"
BOOKS: list[Row] = [
    ("copy-invoice 101 --tax-rate 21%", 4, "tax_rate_invalid", "no tax rate `21%`", RATES),
    ("copy-invoice 101 --tax-rate -20", 4, "tax_rate_invalid", "no tax rate `-20`", RATES),
    ("copy-invoice 101 --tax-rate Standart", 4, "tax_rate_invalid", "`Standart`", "`Standard 20"),
    (
        "copy-invoice 109 --tax-rate 20",
        4,
        "tax_rate_invalid",
        "is abroad",
        "leave `--tax-rate` out",
    ),
    (
        "copy-invoice 101 --customer Nortwind",
        4,
        "customer_not_found",
        "no customer",
        "Traders Ltd`",
    ),
    ("copy-invoice 101 --customer Qwxyz", 4, "customer_not_found", "no customer", "look up the"),
    (
        'copy-invoice 104 --customer "Northwind Traders Ltd"',
        *(4, "customer_not_found", "bills GBP, the invoice is in EUR", "name a contact in EUR"),
    ),
    (
        'copy-invoice 114 --customer "O\'Brien & Sons"',
        4,
        "ambiguous_customer",
        "OBRIEN1",
        "--customer",
    ),
    ("copy-invoice 114", 4, "ambiguous_customer", "OBRIEN2", "--customer REFERENCE`"),
    ("list --company Nortwind", 4, "not_found", "company `Nortwind`", "`Northwind Traders Ltd`"),
    ("list --company 99999", 4, "not_found", "company `99999`", "as Productive has it"),
    ("copy-invoice --all-uncopied --company Nobody --yes", 4, "not_found", "`Nobody`", "as Prod"),
    ("copy-invoice --all-uncopied", 2, "input_needed", "after somebody agrees", "pass `--yes`"),
    (
        "copy-invoice --all-uncopied --yes --report x.doc",
        2,
        "usage",
        "neither in .csv",
        "the ending",
    ),
    ("customers link Northwind NORTH001", 4, "not_found", "no company", "`Northwind Traders Ltd`"),
    ("customers link 501 Nobody", 4, "customer_not_found", "`Nobody`", "look up the name"),
    ('customers link 501 "O\'Brien & Sons"', 4, "ambiguous_customer", "OBRIEN1", "by its ref"),
    ("customers forget Nobody", 4, "not_found", "no company `Nobody`", "give its name or id"),
    ("customers forget 501", 4, "not_found", "no contact is known", "`psage customers` shows"),
    ("configure", 2, "input_needed", "nothing was said to change", "`psage configure --show`"),
    ("configure 4010", 2, "usage", "does not take `4010`", "`psage configure --help`"),
    ("configure --default-ledger 99999", 4, "refused", "no ledger account", "shows them all"),
    ("configure --default-ledger Sale", 4, "refused", "no ledger account", "Services (4010)`"),
    ("configure --default-ledger ''", 2, "usage", "is empty", "give `--default-ledger` a value"),
    ("configure --map-item Design", 2, "usage", "`SERVICE TYPE=ITEM`", '"Design=DESIGN"`'),
    (
        "configure --map-item Desing=DESIGN",
        4,
        "refused",
        "no service type",
        "did you mean `Design`?",
    ),
    ("configure --map-item Design=NOPE", 4, "refused", "no item in Sage", "shows them all"),
    ("configure --map-tax VAT", 2, "usage", "`TAX=RATE`", '"VAT 20%=Standard"`'),
    ("configure --map-tax VAT=Standrad", 4, "refused", "no tax rate", "did you mean"),
    ("configure --sync-payments-from 31.01.2026", 2, "usage", "not a date", "like 2026-01-31"),
    ("configure --sync-payments", 2, "input_needed", "the day it begins", "--sync-payments-from"),
    ("configure --minor-digits JPY", 2, "usage", "`CURRENCY=DECIMALS`", "`--minor-digits JPY=0`"),
    ("configure --minor-digits JPY=9", 2, "usage", "must be 0 or 2", "look at the amounts"),
    ("configure --minor-digits yen!=0", 2, "usage", "three capital letters", "like JPY"),
    ("configure --numbering both", 2, "usage", "must be `sage` or", "write it as `--numbering"),
    ("configure --numbering Sage", 2, "usage", "must be `sage` or", "did you mean `sage`?"),
    ("configure --pdf none", 2, "usage", "must be `productive` or", "write it as `--pdf"),
    ("configure --default-tax-rate 21%", 4, "refused", "no tax rate `21%`", RATES),
    ("--profile nobody list", 2, "usage", "no profile `nobody`", "psage --profile nobody connect"),
    ("--profile defualt list", 2, "usage", "no profile `defualt`", "did you mean `default`?"),
    ("disconnect", 2, "input_needed", "has to be confirmed", "pass `--yes`"),
    ("connect productive --organization-id harbour", 2, "usage", "no organisation id", "app.prod"),
    (
        f"connect productive --organization-id {HERE[:26]}",
        2,
        "usage",
        "no organisation",
        "app.prod",
    ),
]
"""Taxes, customers, accounts and settings that the books do not have."""

COPIED: list[Row] = [
    ("status --seen nothing", 4, "not_found", "is called `nothing`", "nothing waits"),
    (
        "copy-invoice 123",
        4,
        "already_copied",
        "as SI-1",
        "`psage copy-invoice INV-2026-023 --update-existing`",
    ),
    ("copy-invoice SI-1", 4, "not_found", "number `SI-1`", "in Productive is `INV-2026-023`"),
    ("open SI-1", 4, "not_found", "no document `SI-1`", "in Productive is `INV-2026-023`"),
    ("open INV-2026-23", 4, "not_found", "no document", "did you mean `INV-2026-023`?"),
    ("history --document nobody", 4, "not_found", "know no document `nobody`", "`psage list`"),
    ("history --document INV-2026-23", 4, "not_found", "know no document", "`INV-2026-023`?"),
    ("sync-payments 9999", 4, "invoice_not_copied", "has no copy in Sage", "`psage copy-invoice"),
    ("sync-payments '#123'", 4, "not_found", "number `#123`", "did you mean `123`?"),
    ("sync-payments SI-1", 4, "not_found", "number `SI-1`", "in Productive is `INV-2026-023`"),
    ("sync-payments INV-2026-23", 4, "not_found", "no invoice", "did you mean `INV-2026-023`?"),
    ("sync-payments 123 --full", 2, "usage", "exclude each other", "leave one of them out"),
]
"""With one invoice copied, and the payment sync on."""

FILES: list[Row] = [
    ("default_ledger =", 2, "config_invalid", "is not valid TOML", "mend the file"),
    ("this is nonsense", 2, "config_invalid", "(at line 1", "run `psage configure`"),
    ('numbering = "both"', 2, "config_invalid", '"sage" or "productive"', "mend the file"),
    ('sync_payments = "yes"', 2, "config_invalid", "must be true or false", "mend the file"),
    ("sync_payments = true", 2, "config_invalid", "`sync_payments_from`, a date", "mend the file"),
    ('sync_payments_from = "1/1/26"', 2, "config_invalid", "without quotes", "like 2026-01-31"),
    ("minor_digits = 3", 2, "config_invalid", "must be a table", "`[minor_digits]`"),
    ("sage_calls_per_second = 0", 2, "config_invalid", "from 1 to 100", "mend the file"),
    ("pdf_folder = 3", 2, "config_invalid", "a folder in quotes", "mend the file"),
    ('numbring = "sage"', 0, "", "`numbring` is not known", "did you mean `numbering`?"),
    ('zzz = "sage"', 0, "", "the key `zzz` is not known", "has no effect"),
]
"""Settings files, and what `psage list --month 2030-01` says."""

ADDRESS = "such as https://example.com"
UNSET = "set the variable anew, or unset it"
VARIABLES: list[Row] = [
    ("PSAGE_SAGE_API_URL=api.accounting.sage.com", 2, "config_invalid", ADDRESS, UNSET),
    ("PSAGE_SAGE_API_URL=http://example.com/v3.1", 2, "config_invalid", "begin with https", UNSET),
    ("PSAGE_PRODUCTIVE_API_URL=nonsense", 2, "config_invalid", ADDRESS, UNSET),
    ("PSAGE_PRODUCTIVE_API_URL=ftp://example.com", 2, "config_invalid", "begin with https", UNSET),
    ("PSAGE_PRODUCTIVE_API_URL=http://127.0.0.1:x", 2, "config_invalid", ADDRESS, UNSET),
    ("PSAGE_PRODUCTIVE_API_URL=http://127.0.0.1:1", 5, "network", "Connection refused", "check"),
    ("PSAGE_PROFILE=nobody", 2, "usage", "no profile `nobody`", "psage --profile nobody connect"),
    ("PSAGE_PROFILE=a/b", 2, "usage", "cannot be a profile name", "use letters, digits"),
    ("PSAGE_CONFIG=gone.toml", 2, "usage", "does not exist", "look at `--config` and PSAGE_CONFIG"),
    ("PSAGE_HOME=~nobody-here/x", 2, "home_unusable", "does not know", "point PSAGE_HOME to"),
    ("PSAGE_HOME=notes.pdf", 2, "home_unusable", "cannot be used", "point PSAGE_HOME to a folder"),
]
"""Variables, and what `psage list --month 2030-01` says."""

PROGRAMMERS = re.compile(
    r"Traceback|Errno|\bint\b|argument\(s\)|NoneType|<class|Invalid value for|No such [oc]"
)
"""What no accountant should have to read."""


def named(rows: list[Row]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows, ids=[row[0] for row in rows])


Judge = Callable[..., None]


@pytest.fixture
def judge(psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Type a row, and hold its answer against it; once more as a script would, for the code."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.pdf").write_text("Call Northwind on Monday.")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")

    def check(row: Row, command: str = "") -> None:
        typed, code, error_code, words, step = row
        args = shlex.split(command or typed)
        result = psage(*args)
        answer = " ".join((result.out + result.err).split())
        assert (result.code, words in answer, step in answer) == (code, True, True), answer
        assert not PROGRAMMERS.search(answer), answer
        if error_code:
            at = 1 if args[0] in cli._NAMES else len(args)
            asked = psage(*args[:at], *({"--json"} - {*args}), *args[at:])
            assert (asked.code, codes(asked.json)[0]) == (code, error_code)

    return check


def codes(document: Any) -> list[str]:
    """The codes of all errors in a JSON document."""
    return re.findall(r'"error": \{"code": "(\w+)"', json.dumps(document))


@pytest.fixture
def unwritten(services: Sandbox) -> Iterator[Sandbox]:
    """Both services, to which nothing may be written."""
    yield services
    assert writes(services) == []


@named(COMMANDS + OPTIONS + VALUES + NOT_CONNECTED)
def test_a_wrong_command_line_says_what_would_be_right(row: Row, judge: Judge) -> None:
    judge(row)


@named(DOCUMENTS + BOOKS)
def test_a_wrong_name_says_what_comes_near(row: Row, unwritten: Sandbox, judge: Judge) -> None:
    judge(row)


@named(COPIED)
def test_a_wrong_name_of_a_copy_says_which_one_is_meant(
    row: Row, beginning: Callable[..., Sandbox], home: Path, judge: Judge
) -> None:
    services = beginning(("copy-invoice", "123", "--no-pdf"))
    with (home / "default.toml").open("a") as file:
        file.write("sync_payments = true\nsync_payments_from = 2026-01-01\n")
    judge(row)
    assert writes(services) == []


@named(FILES)
def test_a_wrong_settings_file_says_what_is_allowed(
    row: Row, unwritten: Sandbox, home: Path, judge: Judge
) -> None:
    (home / "default.toml").write_text(f"{row[0]}\n")
    judge(row, "list --month 2030-01")


@named(VARIABLES)
def test_a_wrong_variable_says_that_it_is_one(
    row: Row, unwritten: Sandbox, monkeypatch: pytest.MonkeyPatch, judge: Judge
) -> None:
    name, _, value = row[0].partition("=")
    monkeypatch.setenv(name, value)
    judge(row, "list --month 2030-01")


def test_at_least_120_wrong_inputs_are_judged() -> None:
    tables = (COMMANDS, OPTIONS, VALUES, NOT_CONNECTED, DOCUMENTS, BOOKS, COPIED, FILES, VARIABLES)
    assert len({(n, row[0]) for n, rows in enumerate(tables) for row in rows}) >= 120
