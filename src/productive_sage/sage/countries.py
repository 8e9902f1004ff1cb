"""Countries as people write them: `U.K.`, `The Netherlands`, `Deutschland`, `Cote d'Ivoire`.

What Unicode's own lists of names know comes from Babel; what they lack is in a small table here.
"""

import re
import unicodedata
from collections import ChainMap
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel import Locale

_NO_COUNTRY = frozenset("EU EZ QO UN XA XB ZZ".split())
"""Two letters that Babel has a name for, and that are no country."""
_UNCLEAR = frozenset(("", "na", "congo", "kongo"))
"""Keys that could mean nothing at all (`N/A`), or either of two countries."""

_WORDS = {
    "GB": "UK, Great Britain, Britain, England, Scotland, Wales, Cymru, Northern Ireland, XI, "
    "United Kingdom of Great Britain and Northern Ireland, Grande-Bretagne, Angleterre, "
    "Großbritannien, Schottland, Nordirland, Gran Bretagna, Inghilterra, Gran Bretaña, Inglaterra, "
    "Groot-Brittannië, Engeland",
    "US": "United States of America, America, Etats-Unis d'Amerique, "
    "Vereinigte Staaten von Amerika",
    "IE": "Southern Ireland, Irish Republic, ROI",
    "NL": "Holland, Kingdom of the Netherlands",
    "GR": "EL, Hellas, Hellenic Republic",
    "CZ": "Czech Republic, Ceska republika, Tschechische Republik, Republique tcheque",
    "SK": "Slovak Republic",
    "CH": "Swiss Confederation, Schweizerische Eidgenossenschaft",
    "DE": "BRD",
    "TR": "Turkey",
    "RU": "Russian Federation",
    "KR": "Republic of Korea",
    "KP": "Democratic People's Republic of Korea, DPRK",
    "CN": "People's Republic of China, PRC, Mainland China",
    "TW": "Republic of China, Taiwan ROC, Chinese Taipei",
    "HK": "Hong Kong, Hongkong, Hong Kong SAR",
    "MO": "Macao, Macau, Macau SAR",
    "AE": "UAE, Emirates",
    "SA": "KSA",
    "CI": "Ivory Coast, Republic of Cote d'Ivoire",
    "CD": "Democratic Republic of the Congo, DR Congo, DRC, Congo (DRC)",
    "CG": "Republic of the Congo",
    "CV": "Cabo Verde",
    "SZ": "Swaziland",
    "MM": "Burma, Myanmar",
    "TL": "East Timor",
    "MK": "Macedonia, FYROM",
    "PS": "Palestine, State of Palestine",
    "VA": "Holy See, Vatican",
    "VN": "Viet Nam",
    "LA": "Lao People's Democratic Republic",
    "SY": "Syrian Arab Republic",
    "BN": "Brunei Darussalam",
    "FM": "Federated States of Micronesia",
    "BA": "Bosnia, Bosnia-Herzegovina",
    "AT": "Oesterreich",
    "GM": "The Gambia",
    "BS": "The Bahamas",
}
_LANGUAGES = "en de fr es it nl pt sv da nb fi pl cs ga".split()
"""In these, people name other countries than their own."""
_FORMS = re.compile(
    r"^(?:federal |federative |democratic |united )?"
    r"(?:republic|kingdom|principality|commonwealth|grand duchy|federation|duchy) of ",
    re.IGNORECASE,
)


def code_of(written: str) -> str:
    """The two-letter code of a country as somebody wrote it, or empty where nobody can tell.

    Of several names, as in `England, UK`, all that are understood must mean one country.
    """
    if region := re.fullmatch(r"\s*([A-Za-z]{2})-[A-Za-z0-9]{1,3}\s*", written):
        written = region[1]  # GB-ENG
    # All other languages take long to read, and few people need them.
    return _understood(written, _english()) or _understood(
        written, ChainMap(_english(), _everywhere())
    )


def _understood(written: str, known: Mapping[str, str]) -> str:
    name, _, form = (part.strip() for part in written.partition(","))
    spellings = [written, f"{form} {name}"]  # `Korea, Republic of`
    spellings += [_FORMS.sub("", " ".join(one.split())) for one in spellings]
    for spelling in map(_key, spellings):
        if spelling in known and spelling not in _UNCLEAR:
            return known[spelling]
    parts = [part for part in re.split(r"[,;/()\n]| - ", written) if part.strip()]
    codes = {_understood(part, known) for part in parts} - {""} if len(parts) > 1 else set()
    return codes.pop() if len(codes) == 1 else ""


def _key(name: str) -> str:
    """A name without what people write in many ways: case, accents, dots, dashes, `the`, `&`."""
    plain = unicodedata.normalize("NFKD", name.replace("&", " and ").casefold())
    words = re.findall(r"\w+", "".join(one for one in plain if not unicodedata.combining(one)))
    if len(words) > 1 and words[0] == "the":
        words = words[1:]
    return "".join("st" if word == "saint" else word for word in words)


@lru_cache(maxsize=1)
def _english() -> dict[str, str]:
    """Code by key of what most people write: our own words, codes, names in English."""
    from babel import Locale  # here, since few runs need it
    from babel.core import get_global

    known: dict[str, str] = {}
    for code, name in _territories(Locale("en")):
        known |= {_key(code): code, _key(name): code}
    for alias, codes in get_global("territory_aliases").items():
        if re.fullmatch("[A-Z]{3}", alias) and len(codes) == 1:  # GBR, DEU
            known.setdefault(_key(alias), codes[0])
    for code, words in _WORDS.items():
        known |= {_key(word): code for word in words.split(", ")}
    return known


@lru_cache(maxsize=1)
def _everywhere() -> dict[str, str]:
    """Code by key of every country's name in its own languages, and in those of many customers."""
    from babel import Locale, UnknownLocaleError
    from babel.languages import get_official_languages

    known: dict[str, str] = {}
    for language in _LANGUAGES:
        for code, name in _territories(Locale(language)):
            known.setdefault(_key(name), code)
    for code, _ in _territories(Locale("en")):
        for language in get_official_languages(code, de_facto=True):
            try:
                own = Locale.parse(language).territories.get(code, "")
            except UnknownLocaleError:
                continue  # a language whose names nobody has collected
            known.setdefault(_key(own), code)
    return known


def _territories(locale: "Locale") -> Iterator[tuple[str, str]]:
    """(code, name) of every country, in one language."""
    for code, name in locale.territories.items():
        if re.fullmatch("[A-Z]{2}", code) and code not in _NO_COUNTRY:
            yield code, name
