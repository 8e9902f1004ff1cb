"""The report of a batch, and another try at what failed by it: whatever happened to the file."""

import csv
import errno
import io
import json
from pathlib import Path
from typing import Any

import pytest

from productive_sage import files
from productive_sage.copying import after
from productive_sage.copying.plan import Planner
from productive_sage.sandbox import Sandbox
from tests.conftest import Psage, copies, writes
from tests.harness.interrupts import interrupted_in

OTHERS = ("--no-tax", "--no-pdf")


def invoices(services: Sandbox, count: int) -> list[str]:
    company = services.agency.add_company("Harbour Lights Ltd")
    return [
        services.agency.add_invoice(company_id=company, lines=[{"unit_price": "10.00"}])
        for _ in range(count)
    ]


@pytest.fixture
def report(services: Sandbox, psage: Psage, tmp_path: Path) -> Path:
    """Of three invoices, of which the second and the third were refused."""
    keys, path = invoices(services, 3), tmp_path / "march.csv"
    services.fault("status", method="POST", path="/sales_invoices", nth=2, times=2, status=422)
    assert psage("copy-invoice", "--id", *keys, *OTHERS, "--report", str(path)).code == 6
    services.clear_calls()
    return path


def rows(report: Path) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(report.read_text(encoding="utf-8-sig"), newline="")))


def again(psage: Psage, report: Path, *more: str) -> Any:
    return psage("copy-invoice", "--retry-failed", str(report), "--yes", *OTHERS, "--json", *more)


def as_saved(report: Path, sign: str, encoding: str, line_end: str) -> None:
    """As a spreadsheet program saves it, each cell in quotes and an empty row behind."""
    content = rows(report)
    text = line_end.join(
        sign.join(f'"{cell}"' for cell in row)
        for row in ([*content[0]], *(one.values() for one in content), ["" for _ in content[0]])
    )
    report.write_bytes(f"{text}{line_end}".encode(encoding))


# --- what came of it meanwhile


def test_a_retry_that_is_run_again_leaves_what_is_copied_and_ends_well(
    services: Sandbox, psage: Psage, report: Path
) -> None:
    first = again(psage, report)
    second = again(psage, report)

    assert [one["action"] for one in first.results] == ["created", "created"]
    assert (second.code, [one["action"] for one in second.results]) == (0, ["unchanged"] * 2)
    assert {one["code"] for row in second.results for one in row["warnings"]} == {"copied_since"}
    for row in rows(report):
        assert len(copies(services, row["productive_id"])) == 1


def test_a_retry_of_a_copy_that_was_voided_since_is_still_refused(
    services: Sandbox, psage: Psage, report: Path
) -> None:
    again(psage, report)
    (copy,) = copies(services, rows(report)[1]["productive_id"])
    services.bookkeeper.void(copy["id"])

    result = again(psage, report)

    assert [one["action"] for one in result.results] == ["refused", "unchanged"]
    assert result.results[0]["error"]["code"] == "copy_gone"


def test_a_report_of_another_organisation_copies_no_document_of_the_same_id(
    services: Sandbox, psage: Psage, report: Path
) -> None:
    text = report.read_text(encoding="utf-8-sig")
    report.write_text(text.replace("INV-2026", "RE-2026"))

    result = again(psage, report)

    assert result.code == 4
    assert {one["error"]["code"] for one in result.results} == {"not_as_reported"}
    assert writes(services) == []


def test_what_could_not_be_found_is_refused_again_and_not_forgotten(
    services: Sandbox, psage: Psage, report: Path
) -> None:
    missing = report.with_name("missing.csv")
    psage("copy-invoice", "INV-1999-001", *OTHERS, "--report", str(missing))

    result = again(psage, missing)

    assert (result.code, result.only["error"]["code"]) == (4, "not_as_reported")
    assert "psage copy-invoice INV-1999-001" in result.only["error"]["hint"]


def test_what_could_not_be_read_is_tried_again_once_the_settings_say_how(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    report = tmp_path / "all.csv"
    psage("copy-invoice", "--all-uncopied", "--yes", *OTHERS, "--report", str(report))
    (yen,) = [one for one in rows(report) if one["error_code"] == "currency_unclear"]
    psage("configure", "--minor-digits", "JPY=0")

    result = again(psage, report)

    actions = {one["number"]: one["action"] for one in result.results}
    assert actions[yen["number"]] == "created"
    assert len(copies(services, yen["productive_id"])) == 1


# --- what a batch is not about


def test_what_cannot_be_read_is_refused_by_the_command_of_its_kind_alone(
    services: Sandbox, psage: Psage
) -> None:
    assert "INV-2026-008" in told_of(psage, "copy-invoice")
    assert "INV-2026-008" not in told_of(psage, "credit-note")


def told_of(psage: Psage, command: str) -> list[str]:
    flags = ("--all-uncopied", "--no-pdf", "--dry-run", "--json")
    return [one["number"] for one in psage(command, *flags).results]


@pytest.mark.parametrize("what", ["copied", "a draft", "deleted"])
def test_what_cannot_be_read_and_needs_no_copy_is_not_refused(
    services: Sandbox, psage: Psage, home: Path, what: str
) -> None:
    row = services.productive.table("invoices")["108"]["attributes"]
    if what == "copied":
        psage("configure", "--minor-digits", "JPY=0")
        assert psage("copy-invoice", "108", *OTHERS).code == 0
        psage("configure", "--minor-digits", "JPY=")
    elif what == "a draft":
        row |= {"finalized_on": None, "finalized_at": None}
    else:
        row |= {"deleted_at": "2026-03-01T10:00:00.000+01:00"}

    assert "INV-2026-008" not in told_of(psage, "copy-invoice")


# --- what became of the file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("sign", "line_end"), [(";", "\r\n"), ("\t", "\r\n"), (",", "\n")])
def test_a_report_is_read_as_spreadsheet_programs_save_it(
    services: Sandbox, psage: Psage, report: Path, sign: str, encoding: str, line_end: str
) -> None:
    text = report.read_text(encoding="utf-8-sig")
    report.write_text(text.replace("Harbour Lights", "Léger\x0b"), encoding="utf-8")
    wanted = [one["productive_id"] for one in rows(report)[1:]]
    as_saved(report, sign, encoding, line_end)

    result = again(psage, report, "--dry-run")

    assert [one["productive_id"] for one in result.results] == wanted
    assert result.code == 0


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_report_replaces_an_earlier_one_and_no_other_file(
    services: Sandbox, psage: Psage, tmp_path: Path, ending: str
) -> None:
    (key,) = invoices(services, 1)
    other, empty = tmp_path / f"other.{ending}", tmp_path / f"empty.{ending}"
    other.write_text('{"name": "budget"}\n')
    empty.touch()
    copied = ("copy-invoice", "--id", key, *OTHERS)

    refused = psage(*copied, "--report", str(other), "--json")

    assert (refused.code, refused.json["error"]["code"]) == (2, "usage")
    assert "is there, and is no report of psage" in refused.json["error"]["message"]
    assert other.read_text() == '{"name": "budget"}\n'
    assert writes(services) == []
    assert psage(*copied, "--dry-run", "--report", str(empty)).code == 0
    assert psage(*copied, "--dry-run", "--report", str(empty)).code == 0


def test_a_plan_and_its_report_are_never_put_into_one_file(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    (key,) = invoices(services, 1)
    file, copied = tmp_path / "march.json", ("copy-invoice", "--id", key, *OTHERS, "--plan")

    both = psage(*copied, str(file), "--report", str(tmp_path / "." / "march.json"), "--json")
    assert (both.code, both.json["error"]["code"], file.exists()) == (2, "usage", False)

    assert psage(*copied, str(file)).code == 0
    over = psage("apply", str(file), "--yes", "--report", str(file), "--json")
    assert (over.code, over.json["error"]["code"]) == (2, "usage")
    assert writes(services) == []
    assert psage("apply", str(file), "--yes").code == 0


def test_json_too_deep_to_be_read_is_neither_a_report_nor_a_plan(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 200_000)

    assert again(psage, deep).code == 2
    assert psage("apply", str(deep)).code == 2
    assert psage("copy-invoice", "123", *OTHERS, "--plan", str(deep)).code == 2


@pytest.mark.parametrize("is_stopped", [False, True], ids=["done", "interrupted"])
def test_a_report_for_which_there_is_no_room_hides_nothing_of_what_was_done(
    services: Sandbox,
    psage: Psage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_stopped: bool,
) -> None:
    keys, path, put = invoices(services, 2), tmp_path / "march.csv", files.put

    def full(where: Path, *args: Any, **more: Any) -> None:
        if where == path:
            raise OSError(errno.ENOSPC, "No space left on device")
        put(where, *args, **more)

    monkeypatch.setattr(files, "put", full)
    if is_stopped:
        interrupted_in(monkeypatch, after, "finish")

    result = psage("copy-invoice", "--id", *keys, *OTHERS, "--report", str(path))

    assert "copied" in result.out
    assert "could not be written: No space left" in result.err
    assert result.code == (130 if is_stopped else 2)


# --- a run that is stopped


def test_what_an_interrupted_retry_did_not_reach_stays_in_its_report(
    services: Sandbox, psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, report = invoices(services, 16), tmp_path / "march.csv"
    services.fault("status", method="POST", path="/sales_invoices", times=16, status=422)
    psage("copy-invoice", "--id", *keys, *OTHERS, "--report", str(report))
    interrupted_in(monkeypatch, after, "finish")

    stopped = again(psage, report, "--report", str(report))

    assert stopped.code == 130
    told = {one["productive_id"]: one["action"] for one in rows(report)}
    assert set(told) == set(keys)
    left = [key for key in keys if told[key] == "failed"]
    assert left == stopped.json["not_reached"]
    assert [one["productive_id"] for one in again(psage, report).results] == left
    for key in keys:
        assert len(copies(services, key)) == 1


def test_what_was_not_reached_is_named_by_its_number(
    services: Sandbox, psage: Psage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "march.csv"
    interrupted_in(monkeypatch, Planner, "create")

    psage("copy-invoice", "--all-uncopied", "--yes", *OTHERS, "--report", str(report))

    missed = [one for one in rows(report) if one["error_code"] == "interrupted"]
    assert len(missed) > 2
    for one in missed:
        number = services.productive.invoices[one["productive_id"]]["number"]
        assert one["number"] == number
        assert f"invoice `{number}` was not tried" in one["error"]


def test_a_report_stays_as_it_is_where_a_run_ends_before_it_knows_what_to_do(
    services: Sandbox, psage: Psage, report: Path
) -> None:
    before = report.read_bytes()
    services.fault("status", service="productive", times=999, status=503)

    stopped = psage("copy-invoice", "--all-uncopied", "--yes", *OTHERS, "--report", str(report))

    assert stopped.code == 5
    assert report.read_bytes() == before


def test_a_retry_in_place_keeps_its_failures_where_a_service_is_dead(
    services: Sandbox, psage: Psage, report: Path
) -> None:
    wanted = [one["productive_id"] for one in rows(report)[1:]]
    services.fault("status", service="productive", times=999, status=503)

    assert again(psage, report, "--report", str(report)).code == 5

    services.clear_faults()
    assert [one["productive_id"] for one in again(psage, report).results] == wanted


def test_an_interrupted_batch_says_how_many_it_did_not_reach(
    services: Sandbox, psage: Psage, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = invoices(services, 16)
    interrupted_in(monkeypatch, after, "finish")

    result = psage("copy-invoice", "--id", *keys, *OTHERS)

    assert result.code == 130
    assert "not reached" in result.out


@pytest.mark.parametrize("flag", ["--create-new", "--update-existing"])
def test_what_has_no_copy_is_neither_updated_nor_copied_once_more(
    services: Sandbox, psage: Psage, flag: str
) -> None:
    result = psage("copy-invoice", "--all-uncopied", flag, "--yes", *OTHERS, "--json")

    assert (result.code, result.json["error"]["code"]) == (2, "usage")
    assert writes(services) == []


def test_a_report_in_json_is_tried_again_too(
    services: Sandbox, psage: Psage, tmp_path: Path
) -> None:
    keys, path = invoices(services, 2), tmp_path / "march.json"
    services.fault("status", method="POST", path="/sales_invoices", nth=2, status=422)
    psage("copy-invoice", "--id", *keys, *OTHERS, "--report", str(path))

    result = again(psage, path)

    assert [one["productive_id"] for one in result.results] == keys[1:]
    assert json.loads(path.read_text())["summary"]["refused"] == 1
