"""The screens a person sees, at four widths, and the pictures: `make golden`, `make pictures`.

psage runs on real terminals against its sandbox; `scripts/screens.py` says how.
"""

import re

import pytest

from scripts import screens

WHOLE = {
    "dry-run": (
        "INV-2026-023",
        "2,077.27",
        "415.46",
        "2,492.73",
        "1,171.64",
        "110.00",
        "2026-03-11",
    ),
    "copy": ("INV-2026-005", "SI-3", "40,821.79", "8,164.38", "48,986.17", "53,608.90"),
    "refusal": ("INV-2026-023", "SI-1"),
    "register": ("INV-2026-025", "389.99", "-2,130.00", "2,492.73", "8,298.08", "2026-02-23"),
    "history": ("INV-2026-001", "SI-2", "2,130.00"),
    "history-large": ("INV-2026-005", "SI-3", "48,986.17"),
    "history-refused": ("INV-2026-004", "497.43"),
    "status": ("Harbour", "4200"),
}
"""Numbers, amounts and dates that stand whole on a screen, however narrow it is."""


@pytest.mark.torture  # the same commands once more
def test_a_picture_shows_what_the_program_prints() -> None:
    drawn = screens.pictures()

    kept = {path.name for path in screens.PICTURES.glob("*.svg")}
    assert kept == set(drawn)
    for name, picture in drawn.items():
        assert (screens.PICTURES / name).read_text(encoding="utf-8") == picture, (
            f"{name} is not what psage shows; `make pictures` renews it"
        )


@pytest.mark.parametrize("columns", screens.WIDTHS)
def test_the_main_screens_are_as_a_person_found_them_good(columns: int) -> None:
    shown = screens.golden(columns)

    for name, text in shown.items():
        assert_whole(name, text)
        if (name, columns) != ("help", 40):  # the library's narrowest help is of 50 columns
            assert_fits(text, columns)
    changed = [
        name
        for name, text in shown.items()
        if not screens.golden_file(name, columns).exists()
        or screens.golden_file(name, columns).read_text(encoding="utf-8") != text
    ]
    assert changed == [], "look at what `make golden` changes"


def assert_whole(name: str, text: str) -> None:
    """Nothing that counts is folded or cut."""
    _, _, body = text.partition("\n")  # the command is no part of the screen
    for value in WHOLE.get(name, ()):
        assert re.search(rf"(?<![\d.,]){re.escape(value)}(?![\d])", body), (name, value, body)
    assert "…" not in body
    lines = body.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        assert not re.search(r"\b(?:INV|CN)-(?!\d{4}-\d{3}\b)", line), line
        is_cut = re.search(r"\d[.,]$|\d\.\d$", line) and re.match(r"\s*\d", following)
        assert not is_cut or re.search(r"\d{4}-\d\d-\d\d,$", line), (line, following)
        assert not re.match(r"\s*[.,]\d", following), (line, following)


def assert_fits(text: str, columns: int) -> None:
    """No line is folded by the terminal, but for a word or a path that is longer than it."""
    for line in text.splitlines()[1:]:
        is_one_word = " " not in line.strip() or line.startswith("file: ")
        assert len(line) <= columns or is_one_word, line


@pytest.mark.parametrize(
    "folded", ["INV-2026-\n023", "INV-20\n26-023", "2,492.\n73 GBP", "2,492\n.73", "INV-2026-0…"]
)
def test_a_folded_number_would_be_seen(folded: str) -> None:
    with pytest.raises(AssertionError):
        assert_whole("any", f"$ psage\n{folded}\n")
