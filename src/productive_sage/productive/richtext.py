"""Rich text of Productive as plain text, as far as people meant it as text. Pure."""

import html
import re
from collections.abc import Sequence

from productive_sage.text import clean

_BLOCKS = frozenset(
    "address article aside blockquote br center dd details div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 header hr li main nav ol p pre section summary table tbody "
    "tfoot thead tr ul caption".split()
)


_CELLS = frozenset(("td", "th"))


_INLINE = frozenset(
    "a abbr acronym b bdi bdo big body button cite code col colgroup data datalist del dfn em font "
    "head html i iframe img input ins kbd label legend link map mark meta meter noscript object "
    "option output picture progress q rp rt ruby s samp script select small source span strike "
    "strong style sub sup svg template textarea time title tt u var video wbr".split()
)


_WITHOUT_END = frozenset("! br hr wbr".split())
"""Elements that are markup without an end as well; any other alone is a word: `<address> field`."""


_OPEN = frozenset("dd dt li p tbody td tfoot th thead tr".split())
"""Elements whose end may be left out, among other markup: one alone is a word: `<tr> rows`."""


_HIDDEN = frozenset(("script", "style", "!--"))


_TAG = re.compile(
    r"""<!--|-->|<[!?][A-Za-z\[][^<>]*>|<(/?)([A-Za-z][\w:.-]*)"""
    r"""((?:\s+[\w:@.-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+))*)\s*/?>"""
)


_REFERENCE = re.compile(r"&(?:#[0-9xX][0-9A-Fa-f]*|[A-Za-z][A-Za-z0-9]*);?")


def _name(tag: re.Match[str]) -> str:
    return "!--" if tag[0] in ("<!--", "-->") else (tag[2] or "!").lower()


def _markup(tags: Sequence[re.Match[str]]) -> dict[int, int]:
    """Which tags are markup, not words in angle brackets: those known, and with their other half.

    Each with the last tag of what is left out with it: the end of a comment or a script.
    """
    markup: dict[int, int] = {}
    begun: dict[str, list[int]] = {}
    for at, tag in enumerate(tags):
        name = _name(tag)
        if not (":" in name or name in _BLOCKS | _CELLS | _INLINE | _HIDDEN | {"!"}):
            continue
        if name in _WITHOUT_END or tag[3] or ":" in name:
            markup[at] = at
        if not (tag[1] or tag[0] == "-->"):
            begun.setdefault(name, []).append(at)
        elif begun.get(name):
            start = begun[name].pop()
            markup |= {start: at if name in _HIDDEN else start, at: at}
    open_ = [at for at, tag in enumerate(tags) if _name(tag) in _OPEN]
    if markup or len(open_) > 1:
        markup |= {at: at for at in open_ if at not in markup}
    return markup


def _stands_for(tag: re.Match[str]) -> str:
    """Blocks and breaks stand for line breaks, list items get a dash."""
    name = _name(tag)
    if name in _BLOCKS:
        return "\n- " if name == "li" and not tag[1] else "\n"
    return " " if name in _CELLS and not tag[1] else ""


def plain_text(value: str) -> str:
    """Text without markup: entities resolved, line breaks kept, spaces folded.

    What only looks like markup stays as it was typed (`<joe@example.com>`, `a<b and c>d`, `R&D;`),
    but for `<` before a word and for what is an entity: Sage refuses those, so they are put in
    characters that look like them.
    """
    tags = list(_TAG.finditer(value))
    markup = _markup(tags)
    parts, done = [], 0
    for at, tag in enumerate(tags):
        if at in markup and tag.start() >= done:
            parts += [value[done : tag.start()], _stands_for(tag)]
            done = tags[markup[at]].end()
    parts.append(value[done:])
    lines = clean("".join(map(html.unescape, parts)).replace("\xa0", " ")).splitlines()
    folded = [re.sub(r"[^\S\n]+", " ", line).strip() for line in lines]
    text = "\n".join(line for line in folded if line and line != "-")
    text = re.sub(r"<(?=[A-Za-z/!?])", "‹", text)
    return _REFERENCE.sub(_as_typed, text)


def _as_typed(reference: re.Match[str]) -> str:
    """What looks like an entity: as it is where it is none (`R&D;`), else so that it stays."""
    said = reference[0]
    return said if html.unescape(said) == said else f"＆{said[1:]}"
