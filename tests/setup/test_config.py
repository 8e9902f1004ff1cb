"""The settings file: read whole, judged whole, edited without losing anything."""

import os
import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from productive_sage import config
from productive_sage.errors import ConfigInvalid, UsageProblem
from productive_sage.sandbox import Sandbox
from productive_sage.settings import SETTINGS, Endpoints, Settings
from tests.conftest import Psage

EXAMPLE = Path(__file__).parent.parent.parent / "config.example.toml"


def test_the_example_loads_and_holds_every_key() -> None:
    settings, warnings = config.load(EXAMPLE, {})

    written = tomllib.loads(EXAMPLE.read_text())
    assert warnings == []
    assert set(written) == {one.path[0] for one in SETTINGS.values()}
    assert all(getattr(settings, one.key) for one in SETTINGS.values() if one.is_table)
    assert written["endpoints"] == asdict(Endpoints()) == asdict(settings.endpoints)


def test_a_missing_file_means_the_defaults(tmp_path: Path) -> None:
    assert config.load(tmp_path / "none.toml", {}) == (Settings(), [])


def test_all_problems_are_told_at_once_with_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text(
        'numbering = "both"\nwrite_number_back = "yes"\nsage_calls_per_second = 0\n'
        'items = 3\n[minor_digits]\nJPY = "0"\n[endpoints]\nsage_api = "http://sage.example"\n'
    )

    with pytest.raises(ConfigInvalid) as caught:
        config.load(path, {"PSAGE_SAGE_TOKEN_URL": "ftp://x"})

    problems = caught.value.details["problems"]
    assert len(problems) == 7
    assert str(path) in caught.value.message
    assert [f"- {problem}" for problem in problems] == caught.value.message.splitlines()[1:]
    assert '`numbering = "both"` must be "sage" or "productive"' in problems
    assert "`write_number_back" in caught.value.message
    assert "PSAGE_SAGE_TOKEN_URL" in caught.value.message


@pytest.mark.parametrize(
    ("entry", "is_good"),
    [
        ("JPY = 0", True),
        ("JPY = 2", True),
        ("JPY = 1", False),
        ("JPY = 3", False),
        ("JPY = false", False),
        ("KWD = 3", True),
        ("KWD = 2", True),
        ("KWD = 0", False),
        ("CLF = 4", True),
        ("GBP = 2", True),
        ("GBP = 0", False),
        ("GBP = 3", False),
        ("EUR = 1", False),
        ("XYZ = 0", False),
        ("gbp = 2", False),
        ('"" = 2', False),
    ],
)
def test_no_currency_is_counted_in_units_that_would_book_a_hundredfold(
    entry: str, is_good: bool, tmp_path: Path
) -> None:
    path = tmp_path / "default.toml"
    path.write_text(f"[minor_digits]\n{entry}\n")

    if is_good:
        currency, digits = entry.split(" = ")
        assert config.load(path, {})[0].minor_digits == {currency: int(digits)}
    else:
        with pytest.raises(ConfigInvalid, match=r"minor_digits\.") as caught:
            config.load(path, {})
        assert caught.value.exit_code == 2


def test_a_folder_in_the_home_of_nobody_is_refused_before_anything_is_asked(
    services: Sandbox, psage: Psage, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / "default.toml"
    good = path.read_text()
    path.write_text('pdf_folder = "~no-such-user/pdf"\n' + good)
    pdf = psage("copy-invoice", "123", "--no-tax", "--json")
    path.write_text(good)
    monkeypatch.setenv("PSAGE_HOME", "~no-such-user/psage")
    whole = psage("copy-invoice", "123", "--no-tax", "--json")
    seen = psage("status", "--json")

    assert [result.code for result in (pdf, whole, seen)] == [2, 2, 2]
    assert pdf.json["error"]["code"] == "config_invalid"
    assert whole.json["error"]["code"] == seen.json["error"]["code"] == "home_unusable"
    assert "~no-such-user" in whole.json["error"]["message"]
    assert services.calls() == []


def test_unknown_keys_are_warned_about(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text("colour = 1\n[endpoints]\nother = 2\n")

    _, warnings = config.load(path, {})

    assert len(warnings) == 2
    assert "`colour`" in warnings[0]
    assert "`endpoints.other`" in warnings[1]


def test_broken_toml_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text("numbering = \n")

    with pytest.raises(ConfigInvalid, match="not valid TOML"):
        config.load(path, {})


@pytest.mark.parametrize(
    ("address", "is_good"),
    [
        ("https://api.example/v3.1", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://api.example", False),
        ("https://user:pw@api.example", False),
        ("https://", False),
        ("api.example", False),
        ("https://[", False),
    ],
)
def test_only_loopback_may_be_plain_http(address: str, is_good: bool, tmp_path: Path) -> None:
    environment = {"PSAGE_SAGE_API_URL": address}

    if is_good:
        settings, _ = config.load(tmp_path / "none.toml", environment)
        assert settings.endpoints.sage_api == address
    else:
        with pytest.raises(ConfigInvalid, match="PSAGE_SAGE_API_URL"):
            config.load(tmp_path / "none.toml", environment)


def test_an_edit_keeps_comments_order_and_unknown_keys(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text(
        '# mine\ncolour = "red" # why\nnumbering = "sage"\n\n[items]\n# links\n"11" = "service:a"\n'
    )

    config.edit(
        path,
        {
            ("numbering",): ("productive", ""),
            ("default_tax_rate",): ("GB_ZERO", "Zero"),
            ("items", "12"): ("service:b", "Development -> DEV"),
            ("items", "11"): (None, ""),
        },
    )

    text = path.read_text()
    assert text.startswith('# mine\ncolour = "red" # why\nnumbering = "productive"\n')
    assert "# links" in text
    assert tomllib.loads(text) == {
        "colour": "red",
        "numbering": "productive",
        "default_tax_rate": "GB_ZERO",
        "items": {"12": "service:b"},
    }
    assert "# psage: Development -> DEV" in text


def test_a_comment_behind_a_value_stays_and_psages_own_name_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text('default_tax_rate = "A" # ask Anna; psage: Old name\npdf = "sage"# why\n')

    config.edit(path, {("default_tax_rate",): ("B", "New\nname"), ("pdf",): ("productive", "")})

    assert path.read_text() == (
        'default_tax_rate = "B" # ask Anna; psage: New name\npdf = "productive"# why\n'
    )


@pytest.mark.parametrize(
    "text",
    [
        'items = {"11" = "service:a"} # mine\n',
        'items = { "11" = "service:a" }\n\n# mine\n[endpoints]\n',
        'items.11 = "service:a" # mine\nnumbering = "sage"\n',
        '[items]\n"11" = "service:a" # mine\n[endpoints]\nsage_api = "https://x.example"\n',
        "[items]\n# mine\n[minor_digits]\n# mine\n",
        'numbering = "sage" # mine',
        "# mine",
        "",
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("sign", ["", "\ufeff"])
def test_an_edit_understands_every_way_of_writing(
    tmp_path: Path, text: str, line_end: str, sign: str
) -> None:
    path = tmp_path / "default.toml"
    path.write_bytes((sign + text).replace("\n", line_end).encode())
    before = config.load(path, {})[0]

    config.edit(
        path,
        {
            ("numbering",): ("productive", ""),
            ("default_ledger_account",): ("L", "Sales"),
            ("items", "12"): ("service:b", "Development -> DEV"),
        },
    )

    after = config.load(path, {})[0]
    assert after.items == {**before.items, "12": "service:b"}
    assert (after.numbering, after.default_ledger_account) == ("productive", "L")
    assert after.endpoints == before.endpoints
    written = path.read_bytes()
    assert written.count(b"# mine") == text.count("# mine")
    if line_end in text.replace("\n", line_end):
        assert written.count(b"\r\n") == (written.count(b"\n") if line_end == "\r\n" else 0)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (
            'pdf = "sage"\n\n# links\n[items]\n11 = "service:a"\n\n# digits\n[minor_digits]\n',
            (
                'pdf = "sage"\nnumbering = "sage"\n\n# links\n[items]\n11 = "service:a"\n'
                '12 = "service:b"\n\n# digits\n[minor_digits]\n'
            ),
        ),
        (
            "# mine\n\n# links\n[items]\n# none yet\n\n# digits\n[minor_digits]\n",
            (
                '# mine\nnumbering = "sage"\n\n# links\n[items]\n# none yet\n'
                '12 = "service:b"\n\n# digits\n[minor_digits]\n'
            ),
        ),
        (
            'pdf = "sage" # why\n# the end',
            'pdf = "sage" # why\nnumbering = "sage"\n# the end\n\n[items]\n12 = "service:b"\n',
        ),
    ],
)
def test_a_new_key_does_not_come_between_a_comment_and_what_it_is_about(
    tmp_path: Path, text: str, after: str
) -> None:
    path = tmp_path / "default.toml"
    path.write_text(text)

    config.edit(path, {("numbering",): ("sage", ""), ("items", "12"): ("service:b", "")})

    assert path.read_text() == after


def test_an_edit_leaves_a_link_a_link_and_the_mode_as_it_is(tmp_path: Path) -> None:
    real, path = tmp_path / "dotfiles.toml", tmp_path / "default.toml"
    real.write_text('pdf = "sage"\n')
    real.chmod(0o640)
    path.symlink_to(real)

    config.edit(path, {("pdf",): ("productive", "")})

    assert path.is_symlink()
    assert real.read_text() == 'pdf = "productive"\n'
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    config.edit(tmp_path / "default.toml", {("pdf",): ("sage", "")})

    assert (tmp_path / "default.toml").stat().st_mode & 0o777 == 0o600


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "default.toml"
    path.write_text('numbering = "sage"\n')

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match="no room left"):
        config.edit(path, {("numbering",): ("productive", "")})

    assert path.read_text() == 'numbering = "sage"\n'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../x", "", "a b", ".hidden", "x" * 41, "a/b"])
def test_a_profile_name_is_a_plain_word(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="profile name"):
        config.open_home(tmp_path, name)


def test_the_home_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = config.open_home(tmp_path / "home", "default")

    assert home.folder.stat().st_mode & 0o777 == 0o700
