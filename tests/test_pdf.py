"""The PDF travels with the copy, and never in its way."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from productive_sage.sandbox import PRODUCTIVE_TOKEN, Sandbox
from tests.conftest import Psage, copies, writes


def attached(sandbox: Sandbox) -> list[dict[str, Any]]:
    return list(sandbox.sage.attachments.values())


@pytest.fixture
def sage_makes_pdfs(services: Sandbox, home: Path) -> Path:
    """Sage makes the PDF; returns the folder it is kept in."""
    path = home / "default.toml"
    folder = home / "papers"
    path.write_text(f'pdf = "sage"\npdf_folder = "{folder}"\n' + path.read_text())
    return folder


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
    assert attachment["attachment_context"]["id"] == made["sage_id"]


def test_no_pdf_skips_the_step(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "123", "--no-pdf", "--json")

    assert result.only["pdf"] is None
    assert attached(services) == []
    assert services.calls("files") == []


def test_a_missing_pdf_is_a_warning(services: Sandbox, psage: Psage) -> None:
    result = psage("copy-invoice", "124", "--json")

    assert result.code == 0
    assert "pdf_missing" in [warning["code"] for warning in result.only["warnings"]]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "service": "sage", "path": "/attachments", "status": 422},
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


def test_sage_that_takes_no_attachments_on_invoices_is_a_warning(
    services: Sandbox, psage: Psage
) -> None:
    services.attachments_on_sales = False

    result = psage("copy-invoice", "123", "--json")

    assert (result.code, result.only["action"]) == (0, "created")
    assert "pdf_failed" in [warning["code"] for warning in result.only["warnings"]]


def test_an_attachment_whose_answer_was_lost_is_not_made_twice(
    services: Sandbox, psage: Psage
) -> None:
    services.fault("cut_after", service="sage", method="POST", path="/attachments")
    psage("copy-invoice", "123")

    result = psage("copy-invoice", "101", "--json")

    assert len([a for a in attached(services) if "PRD-123" in str(a["file_name"])]) == 1
    settled = [one for one in result.results if one["productive_id"] == "123"]
    assert [one["action"] for one in settled] == ["unchanged"]


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
