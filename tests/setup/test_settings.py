"""Each setting is declared once; what is made of the declaration, and what it must not lack."""

import re
import tomllib
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from productive_sage.settings import SETTINGS, Endpoints, Settings, told
from productive_sage.settings.declared import Setting, setting
from tests.conftest import Psage

EXAMPLE = Path(__file__).parent.parent.parent / "config.example.toml"
every_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=list(SETTINGS))
OTHER: dict[str, Any] = {
    "account": "0123",
    "tax rate": "GB_STANDARD",
    "items": {"11": "service:0123"},
    "decimals": {"JPY": 0},
    "taxes": {"VAT 20%": "GB_STANDARD"},
    "date": date(2026, 2, 1),
}
"""Another value than the default, by what a setting holds."""


def another(setting: Setting) -> Any:
    """A value that is allowed and is not the default."""
    default = getattr(Settings(), setting.key)
    words = [word.value for word in setting.words if word.value != default]
    if words or setting.holds in OTHER:
        return words[0] if words else OTHER[setting.holds]
    if isinstance(default, Endpoints):
        return replace(default, sage_api="https://elsewhere.example")
    return 7 if isinstance(default, int) else "a/folder"


@every_setting
def test_every_setting_is_told_in_a_sentence(setting: Setting) -> None:
    # Each setting alone, and where others make that it matters.
    for others in ({}, {"sync_payments": True}, {"pdf": "sage"}):
        before = replace(Settings(), **others)
        after = replace(before, **{setting.key: another(setting)})
        if told(before, {}, {}) != told(after, {}, {}):
            break
    else:
        pytest.fail(f"no sentence of `configure --show` tells `{setting.key}`")

    subjects = {one.key for one in SETTINGS.values() if not isinstance(one.told, str)}
    assert not isinstance(setting.told, str) or setting.told in subjects


@every_setting
def test_the_example_explains_every_setting_and_names_each_word(setting: Setting) -> None:
    text = EXAMPLE.read_text()
    head = rf"\[{re.escape(setting.name)}\]" if setting.is_table else f"{setting.key} = "
    found = re.search(rf"((?:^#.*\n)+)(?:^\w.*\n)*^{head}", text, re.MULTILINE)

    assert found, f"`{setting.key}` has no line below a comment in {EXAMPLE.name}"
    for word in setting.allowed:
        assert f'"{word}"' in found[1]


@every_setting
def test_the_default_and_the_example_of_a_setting_are_allowed(setting: Setting) -> None:
    written: Any = tomllib.loads(EXAMPLE.read_text())
    for key in setting.path:
        written = written[key]
    entries = written if setting.is_table else {setting.key: written}
    default = getattr(Settings(), setting.key)

    for key, value in entries.items():
        assert setting.check(key, value) is None
    if not setting.is_table and default is not None:
        assert setting.check(setting.key, default) is None


@every_setting
def test_a_setting_that_is_asked_for_has_a_flag_in_the_help(setting: Setting, psage: Psage) -> None:
    if setting.flag is None:
        assert setting.asked is None
        assert setting.holds == "other"
        return
    words = psage("configure", "--help").out.split()

    assert setting.flag.name in words
    for said in (setting.flag.help, " or ".join(setting.allowed)):
        assert "".join(said.split()) in "".join(words)  # it is folded at hyphens too


def test_every_field_is_declared() -> None:
    assert list(SETTINGS) == [field.name for field in fields(Settings)]
    assert {
        one.asked.only_if[0] for one in SETTINGS.values() if one.asked and one.asked.only_if
    } <= {*SETTINGS}


def test_only_a_table_stands_within_another() -> None:
    with pytest.raises(TypeError, match="only a table"):
        setting("other", default="", told="notes", path=("export", "spell"))
