"""A small chart of what is copied and open by month, as SVG for a page."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from productive_sage.reconcile.totals import Month

_WIDTH, _HEIGHT, _BASE, _TOP, _LEFT = 640, 165, 130, 24, 66
_MOST = 24
"""Months that find room; of more the last."""
_NAMES = (("paid", "copied and settled"), ("open", "copied and open"), ("missing", "not in Sage"))


def chart(months: "Sequence[Month]") -> str:
    """Stacked bars, one a month; the figures themselves stand in the table below it."""
    months = months[-_MOST:]
    rows = [[max(n, Decimal(0)) for n in (m.paid, m.open, m.not_copied)] for m in months]
    highest = max((sum(row, Decimal(0)) for row in rows), default=Decimal(0))
    parts = [*_legend(), *_scale(highest), *_bars(months, rows, highest)]
    label = "stacked bars by month; the figures are in the table below"
    head = f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
    return head + "".join(parts) + "</svg>"


def _legend() -> Iterator[str]:
    at = _LEFT
    for name, words in _NAMES:
        yield f'<rect class="{name}" x="{at}" y="2" width="10" height="10"/>'
        yield f'<text x="{at + 15}" y="11">{words}</text>'
        at += 40 + 6 * len(words)


def _scale(highest: Decimal) -> Iterator[str]:
    for share in (0, 1) if highest else (0,):
        y = _BASE - (_BASE - _TOP) * share
        value = f"{int(highest * share):,}"
        yield f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{value}</text>'


def _bars(
    months: "Sequence[Month]", rows: Sequence[Sequence[Decimal]], highest: Decimal
) -> Iterator[str]:
    room = Decimal(_WIDTH - _LEFT) / max(len(rows), 6)
    width = min(room * Decimal("0.6"), Decimal(46))
    for n, (month, row) in enumerate(zip(months, rows, strict=True)):
        x, y = _LEFT + room * n + (room - width) / 2, Decimal(_BASE)
        for (name, _), amount in zip(_NAMES, row, strict=True):
            height = (_BASE - _TOP) * amount / highest if highest else Decimal(0)
            y -= height
            if height:
                size = f'width="{width:.1f}" height="{height:.1f}"'
                yield f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" {size}/>'
        # Too many months for whole names: the year stands at its first month.
        said = month.month if len(rows) <= 10 else month.month[5:]
        middle = x + width / 2
        yield f'<text x="{middle:.1f}" y="{_BASE + 15}" text-anchor="middle">{said}</text>'
        if len(rows) > 10 and (n == 0 or said == "01"):
            year = month.month[:4]
            yield f'<text x="{middle:.1f}" y="{_BASE + 30}" text-anchor="middle">{year}</text>'
