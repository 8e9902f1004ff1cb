"""The PDF travels with the copy, and never in its way."""

import hashlib
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from productive_sage.copying import after
from productive_sage.copying.pdf_files import file_name
from productive_sage.sandbox import PRODUCTIVE_TOKEN, Sandbox
from productive_sage.store import Store
from tests.conftest import Psage, Result, copies, writes


def attached(sandbox: Sandbox) -> list[dict[str, Any]]:
    return list(sandbox.sage.attachments.values())


def is_linked(sandbox: Sandbox, attachment: dict[str, Any], sage_id: str) -> bool:
    """Whether an attachment is linked to the document, or to its transaction."""
    transaction = sandbox.sage.invoices[sage_id]["transaction"]["id"]
    linked = (attachment["attachment_context"], attachment["transaction"])
    return any(one and one["id"] in (sage_id, transaction) for one in linked)


def said(warnings: list[dict[str, str]]) -> dict[str, str]:
    """What is said of the PDF, by code."""
    return {one["code"]: one["message"] for one in warnings if one["code"].startswith("pdf_")}


def codes(result: Result) -> list[str]:
    """The codes about the PDF of the one document, then of the run."""
    return [*said(result.only["warnings"]), *said(result.json["warnings"])]


@pytest.fixture
def sage_makes_pdfs(services: Sandbox, home: Path) -> Path:
    """Sage makes the PDF; returns the folder it is kept in."""
    path = home / "default.toml"
    folder = home / "papers"
    path.write_text(f'pdf = "sage"\npdf_folder = "{folder}"\n' + path.read_text())
    return folder


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_mark_goes_along_with_sages_pdf_or_by_itself_where_that_is_refused(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path, is_refused: bool
) -> None:
    if is_refused:
        services.fault("status", service="productive", method="PATCH", path="/invoices", status=422)

    result = psage("copy-invoice", "123", "--json").only

    invoice = services.productive.invoices["123"]
    assert (invoice["exported"], invoice["export_id"]) == (True, result["sage_id"])
    assert result["pdf"]["attached"] is True
    changes = services.calls("productive", "PATCH", "/invoices")
    assert [call.status for call in changes] == ([422, 200, 200] if is_refused else [200])
    assert [one["code"] for one in result["warnings"]] == ["tax_not_mirrored"]


def test_productives_pdf_is_attached_once(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--json")

    (attachment,) = attached(services)
    content = services.productive.attachments["9123"]["file"]
    assert attachment["file"] == content
    assert result.only["pdf"] == {
        "maker": "productive",
        "file": "INV-2026-023 (PRD-123).pdf",
        "sha256": hashlib.sha256(content).hexdigest(),
        "attached": True,
    }


def test_an_unchanged_pdf_is_not_attached_again(services: Sandbox, psage: Psage) -> None:
    psage("copy-invoice", "123")
    services.clear_calls()

    psage("copy-invoice", "123", "--update-existing")

    assert writes(services) == []
    assert len(attached(services)) == 1


def test_a_changed_pdf_replaces_the_one_psage_attached_and_no_other(
    services: Sandbox, psage: Psage
) -> None:
    made = psage("copy-invoice", "123", "--json").only
    services.agency.set_pdf("123", b"%PDF-1.4 changed")

    result = psage("copy-invoice", "123", "--update-existing", "--json")

    assert result.only["action"] == "unchanged"
    (attachment,) = attached(services)
    assert attachment["file"] == b"%PDF-1.4 changed"
    assert is_linked(services, attachment, made["sage_id"])


def test_no_pdf_skips_the_step(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--no-pdf", "--json")

    assert result.only["pdf"] is None
    assert attached(services) == []
    assert services.calls("files") == []


def test_missing_pdfs_are_one_warning_of_the_run_with_the_numbers(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    lines = [{"unit_price": "10.00"}]
    other = services.agency.add_invoice(company_id=507, number="INV-X", lines=lines)

    result = psage("copy-invoice", "123", "124", other, "--json")
    shown = psage("copy-invoice", "123", "124", other, "--update-existing")

    assert result.code == 0
    (warning,) = result.json["warnings"]
    assert warning["code"] == "pdf_missing"
    assert "2 invoices (INV-2026-024, INV-X)" in warning["message"]
    assert str(home / "pdf") in warning["message"]
    assert [said(one["warnings"]) for one in result.results] == [{}, {}, {}]
    assert shown.err.count("shows no PDF") == 1


def test_one_missing_pdf_names_its_document(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "124", "--json")

    assert (result.code, codes(result)) == (0, ["pdf_missing"])
    assert "invoice `INV-2026-024`" in result.json["warnings"][0]["message"]


# --- what Sage makes of an attachment


@pytest.mark.parametrize("by", ["transaction", "either", "refused"])
def test_the_pdf_is_linked_to_the_document_however_sage_links_it(
    services: Sandbox, psage: Psage, by: str
) -> None:
    services.attachments = by

    result = psage("copy-invoice", "123", "--json")
    services.agency.set_pdf("123", b"%PDF-1.4 changed")
    psage("copy-invoice", "123", "--update-existing")

    (attachment,) = attached(services)
    assert is_linked(services, attachment, result.only["sage_id"])
    assert attachment["file"] == b"%PDF-1.4 changed"
    assert (result.only["pdf"]["attached"], codes(result)) == (True, [])


def test_a_context_refused_without_a_field_named_is_left_out_too(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("status", path="/attachments", status=422)

    result = psage("copy-invoice", "123", "--json")

    assert (result.only["pdf"]["attached"], codes(result)) == (True, [])
    (call,) = [call for call in services.calls("sage", "POST", "/attachments") if not call.faulted]
    assert "attachment_context_id" not in json.loads(call.body)["attachment"]


def test_an_attachment_linked_to_nothing_is_taken_back_and_tried_once_more(
    services: Sandbox, psage: Psage
) -> None:
    services.attachments = "unlinked"

    first = psage("copy-invoice", "123", "--json")
    there = attached(services)
    services.attachments = "transaction"
    later = psage("copy-invoice", "101", "--no-pdf", "--json")

    assert (first.code, first.only["action"], codes(first)) == (0, "created", ["pdf_not_attached"])
    assert first.only["pdf"]["attached"] is False
    assert "tries once more" in said(first.only["warnings"])["pdf_not_attached"]
    assert there == []
    (done,) = [one for one in later.results if one["productive_id"] == "123"]
    assert done["pdf"]["attached"] is True
    assert len(attached(services)) == 1


def test_nights_of_unlinked_attachments_stay_cheap_and_leave_no_heap(
    services: Sandbox, psage: Psage
) -> None:
    services.attachments = "unlinked"
    psage("copy-invoice", "123")

    second = psage("copy-invoice", "101", "--no-pdf", "--json")
    services.clear_calls()
    third = psage("copy-invoice", "125", "--no-pdf", "--json")

    (left,) = [one for one in second.results if one["productive_id"] == "123"]
    assert "by hand" in said(left["warnings"])["pdf_not_attached"]
    assert [one["productive_id"] for one in third.results] == ["125"]
    assert services.calls("sage", path="/attachments") == []
    assert attached(services) == []
    assert psage("status", "--json").json["waiting"] == []


def test_a_person_can_have_it_tried_again(services: Sandbox, psage: Psage) -> None:
    services.attachments = "unlinked"
    psage("copy-invoice", "123")
    psage("copy-invoice", "101", "--no-pdf")
    services.attachments = "transaction"

    result = psage("copy-invoice", "123", "--update-existing", "--json")

    assert (result.only["action"], result.only["pdf"]["attached"]) == ("unchanged", True)


def test_one_that_cannot_be_taken_back_is_named(services: Sandbox, psage: Psage) -> None:
    services.attachments = "unlinked"
    services.fault("status", method="DELETE", path="/attachments", status=403)

    result = psage("copy-invoice", "123", "--json")

    (left,) = attached(services)
    assert result.code == 0
    assert left["id"] in said(result.only["warnings"])["pdf_not_attached"]


def test_a_new_pdf_that_is_linked_to_nothing_leaves_the_old_one(
    services: Sandbox, psage: Psage
) -> None:
    psage("copy-invoice", "123")
    services.agency.set_pdf("123", b"%PDF-1.4 changed")
    services.attachments = "unlinked"

    result = psage("copy-invoice", "123", "--update-existing", "--json")

    assert codes(result) == ["pdf_not_attached"]
    (attachment,) = attached(services)
    assert attachment["file"] != b"%PDF-1.4 changed"


# --- a person's file


PDF = b"%PDF-1.4 by hand"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "downloaded.pdf"
    path.write_bytes(PDF)
    return path


def test_a_file_is_attached_where_productive_shows_none(
    services: Sandbox, psage: Psage, file: Path
) -> None:
    result = psage("copy-invoice", "124", "--pdf-file", str(file), "--json")

    (attachment,) = attached(services)
    assert (result.code, codes(result)) == (0, [])
    assert (attachment["file"], attachment["file_name"]) == (PDF, "INV-2026-024 (PRD-124).pdf")
    assert result.only["pdf"]["attached"] is True


def test_a_file_named_goes_before_productives_own(
    services: Sandbox, psage: Psage, file: Path
) -> None:
    psage("copy-invoice", "123", "--pdf-file", str(file))

    assert [one["file"] for one in attached(services)] == [PDF]


def test_a_file_is_attached_to_the_copy_there_is_and_not_twice(
    services: Sandbox, psage: Psage, file: Path
) -> None:
    psage("copy-invoice", "124")
    again = ("copy-invoice", "124", "--update-existing", "--pdf-file", str(file), "--json")

    first, second = psage(*again), psage(*again)
    without = psage("copy-invoice", "124", "--update-existing", "--json")

    assert [one.only["action"] for one in (first, second)] == ["unchanged", "unchanged"]
    assert first.only["pdf"] == second.only["pdf"]
    assert len(attached(services)) == 1
    assert codes(without) == []


def test_a_file_is_for_the_document_asked_for_and_not_for_one_left_over(
    services: Sandbox, psage: Psage, file: Path
) -> None:
    services.fault("status", method="POST", path="/attachments", status=503, times=9)
    psage("copy-invoice", "123")

    psage("copy-invoice", "--number", "INV-2026-024", "--pdf-file", str(file))

    ours = {one["file_name"]: one["file"] for one in attached(services)}
    assert ours.get("INV-2026-023 (PRD-123).pdf") != PDF
    assert services.productive.attachments["9123"]["file"] != PDF


def test_a_run_that_was_cut_off_takes_the_file_when_it_is_repeated(
    services: Sandbox, psage: Psage, file: Path
) -> None:
    command = ("copy-invoice", "124", "--pdf-file", str(file), "--json")
    services.fault("cut_after", method="POST", path="/sales_invoices", times=2)
    services.search_lag_s = services.list_lag_s = 60
    services.remember_idempotency = True
    assert psage(*command).code in (0, 8)
    services.search_lag_s = services.list_lag_s = 0

    result = psage(*command)

    assert result.code == 0
    assert [one["file"] for one in attached(services)] == [PDF]
    assert len(copies(services, "124")) == 1


def test_a_copy_found_in_sage_takes_the_file_too(
    services: Sandbox, psage: Psage, home: Path, file: Path
) -> None:
    psage("copy-invoice", "124")
    (home / "default.db").unlink()

    result = psage("copy-invoice", "124", "--pdf-file", str(file), "--json")

    assert result.only["action"] == "adopted"
    assert [one["file"] for one in attached(services)] == [PDF]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no file"),
        (b"", "not a PDF"),
        (b"<html>%PDF", "not a PDF"),
        (b"%PDF" + bytes(2_621_440), "2621444 bytes"),
    ],
    ids=["missing", "empty", "web page", "large"],
)
def test_a_file_that_sage_cannot_take_is_refused_before_anything_is_sent(
    services: Sandbox, psage: Psage, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "a.pdf"
    if content is not None:
        path.write_bytes(content)

    result = psage("copy-invoice", "124", "--pdf-file", str(path), "--json")

    assert result.code == 2
    assert words in result.json["error"]["message"]
    assert services.calls("sage") == services.calls("productive") == []


def test_a_folder_is_no_file(services: Sandbox, psage: Psage, tmp_path: Path) -> None:
    assert psage("copy-invoice", "124", "--pdf-file", str(tmp_path)).code == 2


@pytest.mark.parametrize("more", [("125",), ("--no-pdf",)])
def test_a_file_is_for_one_document_and_wants_the_pdf_step(
    services: Sandbox, psage: Psage, file: Path, more: tuple[str, ...]
) -> None:
    result = psage("copy-invoice", "124", *more, "--pdf-file", str(file))

    assert (result.code, writes(services)) == (2, [])


def test_a_file_makes_no_sense_where_sage_makes_the_pdf(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path, file: Path
) -> None:
    result = psage("copy-invoice", "124", "--pdf-file", str(file))

    assert (result.code, writes(services)) == (2, [])


def test_a_credit_note_takes_a_file(services: Sandbox, psage: Psage, file: Path) -> None:
    psage("copy-invoice", "111", "--no-pdf")

    result = psage("credit-note", "110", "--pdf-file", str(file), "--json")

    assert result.only["pdf"]["attached"] is True
    assert [one["file"] for one in attached(services)] == [PDF]


@pytest.mark.parametrize(
    "name",
    [
        "INV-2026-024.pdf",
        "Invoice inv-2026-024 of March.PDF",
        "Juniper_INV-2026-024_signed.pdf",
        "invoice-INV-2026-024.pdf",
        "2026-03-01 INV-2026-024 (final).pdf",
    ],
)
def test_a_file_in_the_folder_with_the_number_in_its_name_is_attached(
    services: Sandbox, psage: Psage, home: Path, name: str
) -> None:
    (home / "pdf").mkdir()
    (home / "pdf" / name).write_bytes(PDF)

    result = psage("copy-invoice", "124", "--json")

    assert codes(result) == []
    assert [one["file"] for one in attached(services)] == [PDF]


@pytest.mark.parametrize(
    "name",
    [
        "INV-2026-0241.pdf",
        "INV-2026-024-1.pdf",
        "UK-INV-2026-024.pdf",
        "XINV-2026-024.pdf",
        "INV-2026-024b.pdf",
        "INV-2026-02.pdf",
        "INV-2026-024.txt",
        "INV-2026-024 (PRD-124).pdf",
    ],
)
def test_a_file_of_another_number_is_not(
    services: Sandbox, psage: Psage, home: Path, name: str
) -> None:
    (home / "pdf").mkdir()
    (home / "pdf" / name).write_bytes(PDF)

    result = psage("copy-invoice", "124", "--json")

    assert (codes(result), attached(services)) == (["pdf_missing"], [])


def test_a_sign_no_file_can_have_in_its_name_may_be_another(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    services.agency.edit_invoice("124", number="2026/7")
    (home / "default.toml").write_text(
        f'pdf_folder = "{home}/papers"\n' + (home / "default.toml").read_text()
    )
    (home / "papers").mkdir()
    (home / "papers" / "2026-7.pdf").write_bytes(PDF)
    (home / "papers" / "2026-70.pdf").write_bytes(PDF + b"0")

    psage("copy-invoice", "124")

    assert [one["file"] for one in attached(services)] == [PDF]


def test_of_several_files_none_is_taken(services: Sandbox, psage: Psage, home: Path) -> None:
    (home / "pdf").mkdir()
    for name in ("INV-2026-024.pdf", "INV-2026-024 signed.pdf"):
        (home / "pdf" / name).write_bytes(PDF)

    result = psage("copy-invoice", "124", "--json")

    assert (codes(result), attached(services)) == (["pdf_ambiguous"], [])
    assert "`INV-2026-024 signed.pdf`" in said(result.only["warnings"])["pdf_ambiguous"]


def test_a_file_in_the_folder_that_is_no_pdf_is_a_warning(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    (home / "pdf").mkdir()
    (home / "pdf" / "INV-2026-024.pdf").write_bytes(b"<html>")

    result = psage("copy-invoice", "124", "--json")

    assert (result.code, codes(result), attached(services)) == (0, ["pdf_failed"], [])
    assert psage("status", "--json").json["waiting"] == []


# --- what must not happen


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "service": "sage", "path": "/attachments", "status": 422, "times": 2},
        {"kind": "status", "service": "sage", "path": "/attachments", "status": 403},
        {"kind": "status", "service": "files", "path": "/", "status": 404},
        {"kind": "html", "service": "files", "path": "/", "times": 9},
        {"kind": "cut_after", "service": "sage", "path": "/attachments"},
    ],
)
def test_a_pdf_problem_never_undoes_or_hides_the_copy(
    services: Sandbox, psage: Psage, fault: dict[str, Any]
) -> None:
    services.fault(**fault)

    result = psage("copy-invoice", "123", "--json")

    assert result.code == 0
    assert result.only["action"] == "created"
    assert len(copies(services, "123")) == 1
    assert "pdf_failed" in [warning["code"] for warning in result.only["warnings"]]


def test_an_attachment_whose_answer_was_lost_is_not_made_twice(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("cut_after", service="sage", method="POST", path="/attachments")
    psage("copy-invoice", "123")

    result = psage("copy-invoice", "101", "--json")

    assert len([a for a in attached(services) if "PRD-123" in str(a["file_name"])]) == 1
    recovered = [one for one in result.results if one["productive_id"] == "123"]
    assert [one["action"] for one in recovered] == ["unchanged"]


def test_the_token_goes_to_the_files_host_alone_and_not_along_a_redirect(
    services: Sandbox, psage: Psage
) -> None:
    services.files_redirect = True

    result = psage("copy-invoice", "123", "--json")

    assert "pdf_failed" in [warning["code"] for warning in result.only["warnings"]]
    for call in services.calls():
        sent = f"{call.query} {call.headers} {call.body!r}"
        assert (PRODUCTIVE_TOKEN in sent) == (call.service in ("productive", "files"))


def test_a_pdf_on_another_host_is_not_fetched(services: Sandbox, psage: Psage) -> None:
    services.productive.files_url = services.sage_url

    result = psage("copy-invoice", "123", "--json")

    services.productive.files_url = services.files_url
    (warning,) = [w for w in result.only["warnings"] if w["code"] == "pdf_failed"]
    assert "not Productive's files host" in warning["message"]
    assert services.calls("files") == []


def test_sages_pdf_is_kept_and_becomes_productives_without_marking_as_sent(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path
) -> None:
    result = psage("copy-invoice", "123", "--json")

    assert result.code == 0
    pdf = result.only["pdf"]
    path = Path(pdf["file"])
    assert path.parent == sage_makes_pdfs
    assert path.read_bytes().startswith(b"%PDF")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == pdf["sha256"]
    (copy,) = copies(services, "123")
    assert copy["sent"] is False
    invoice = services.productive.invoices["123"]
    uploaded = services.productive.attachments[str(invoice["attachment_id"])]
    assert uploaded["file"] == path.read_bytes()
    assert str(invoice["attachment_id"]) != "9123"


def test_the_upload_store_never_sees_the_token(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path
) -> None:
    psage("copy-invoice", "123")

    (upload,) = services.calls("files", "POST")
    assert "x-auth-token" not in upload.headers
    assert PRODUCTIVE_TOKEN.encode() not in upload.body
    assert upload.status == 201


def test_a_refused_upload_is_a_warning(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path
) -> None:
    services.fault("status", service="files", method="POST", path="/upload", status=403)

    result = psage("copy-invoice", "123", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert "pdf_failed" in [warning["code"] for warning in result.only["warnings"]]


def test_a_folder_that_cannot_be_written_is_a_warning(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    (home / "file").write_text("")
    path = home / "default.toml"
    path.write_text(f'pdf = "sage"\npdf_folder = "{home}/file/x"\n' + path.read_text())

    result = psage("copy-invoice", "123", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert "pdf_failed" in [warning["code"] for warning in result.only["warnings"]]


@pytest.mark.parametrize("number", ["N" * 5000, "\u20ac/\u00fc" * 900, "../../etc/passwd", ""])
def test_the_name_of_a_pdf_fits_every_file_system(number: str) -> None:
    name = file_name(number, "PRD-123-2")

    assert len(name.encode()) <= 150
    assert name.endswith("(PRD-123-2).pdf")
    assert "/" not in name + file_name("7", "PRD-../../x")


def test_a_pdf_with_an_endless_number_is_kept_at_once(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = after.finish
    monkeypatch.setattr(
        after,
        "finish",
        lambda desk, link, invoice, document, **how: finish(
            desk, link, invoice, replace(document, number="9" * 400), **how
        ),
    )

    result = psage("copy-invoice", "123", "--no-tax", "--json")

    assert "pdf_failed" not in [warning["code"] for warning in result.only["warnings"]]
    assert Path(result.only["pdf"]["file"]).read_bytes().startswith(b"%PDF")


def test_a_pdf_is_for_its_owner_alone_and_follows_no_link(
    services: Sandbox, psage: Psage, sage_makes_pdfs: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    name = "SI-1 (PRD-123).pdf"
    sage_makes_pdfs.mkdir(mode=0o777)
    for place in (name, f".{name}.part"):
        (sage_makes_pdfs / place).symlink_to(victim)

    result = psage("copy-invoice", "123", "--no-tax", "--json")

    path = Path(result.only["pdf"]["file"])
    assert path == sage_makes_pdfs / name
    assert not path.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert victim.read_text() == "mine"


def test_what_fails_for_a_week_is_not_tried_for_ever(
    services: Sandbox, psage: Psage, home: Path
) -> None:
    def run_again() -> list[str]:
        services.clear_calls()
        result = psage("copy-invoice", "101", "--no-pdf", "--update-existing", "--json")
        assert result.code == 0
        of_the_other = [one for one in result.results if one["productive_id"] == "123"]
        return [warning["code"] for one in of_the_other for warning in one["warnings"]]

    services.files_redirect = True
    psage("copy-invoice", "123")
    psage("copy-invoice", "101", "--no-pdf")
    first = run_again()
    with Store(home / "default.db") as store:
        (link,) = store.copies.unfinished()
        since = datetime.fromisoformat(store.cursors.get(f"left {link.id}") or "")
        store.cursors.set({f"left {link.id}": (since - timedelta(days=8)).isoformat()})
    last = run_again()

    assert first == ["pdf_failed"]
    assert last == ["pdf_failed", "given_up"]
    assert run_again() == []
    assert services.calls("files") == []
