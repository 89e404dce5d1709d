"""Why an id looks as if it could identify a patient: by its form alone, as far as a form can tell.

Looked for are accession and hospital numbers, dates, national numbers and personal names. It errs on the side of asking
where a form is typical of these (a run of six digits), and of silence where it is not (`P01-001`, `john`): a harmless
look proves nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from itertools import product

from ..spelling import as_seen

# --- What is harmless, whatever it looks like ---------------------------------------------------------------------

_HARMLESS = re.compile(
    r"""
      her2-[0-3]\+?-score_(train|test)_\d{1,5}(\.(png|jpe?g))?       # a patch of the release
    | block-[0-3]\+?-(train|test)-\d{1,5}                            # a block of it
    | TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}                                    # a public barcode: site, participant,
      (-\d\d[A-Z]?(-\d\d[A-Z]?(-(TS|BS|MS|DX)[A-Z0-9]{1,2})?)?)?       # sample, portion, slide,
      (\.[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12})?                  # and its file
    | [0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}                       # a UUID
    | (slide|case|region|file)-[bcdfghjkmnpqrstv]{16}                 # a pseudonym of this package
    """,
    re.VERBOSE | re.IGNORECASE,
)
#: Ids that annotation tools count with: a number, a layer and a number, the corner of a box; none writes 0012345.
_COUNTED = re.compile(r"[1-9]\d{0,8}|0\d{0,4}|\d{1,3}-\d{1,6}|xm?\d+ym?\d+(-\d+)?")
_PLACE = re.compile(r"(-x-?\d+-y-?\d+)?(\.(png|jpe?g|webp))?$", re.IGNORECASE)

# --- Forms --------------------------------------------------------------------------------------------------------

_DATES = (
    re.compile(r"(?<!\d)(?P<y>(?:19|20)\d\d)(?P<gap>[-_./ ]?)(?P<m>\d\d?)(?P=gap)(?P<d>\d\d?)(?!\d)"),
    re.compile(r"(?<!\d)(?P<d>\d\d?)(?P<gap>[-_./ ])(?P<m>\d\d?)(?P=gap)(?P<y>(?:19|20)?\d\d)(?!\d)"),
    re.compile(r"(?<!\d)(?P<d>\d\d)(?P<m>\d\d)(?P<y>(?:19|20)\d\d)(?!\d)"),
)
_MONTH = "jan|feb|mar|mär|mrz|maerz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez"
_NAMED_DATE = re.compile(
    rf"(?<!\d)(\d\d?[-_. ]{{0,2}}({_MONTH})[a-z]*[-_. ]?(19|20)\d\d"
    rf"|(19|20)\d\d[-_. ]?({_MONTH})[a-z]*[-_. ]?\d\d?)(?!\d)",
    re.IGNORECASE,
)
_DAY = r"(0?[1-9]|[12]\d|3[01])"
_WHOLE_MONTH = (
    "jan(uary|uar)?|feb(ruary|ruar)?|mar(ch)?|märz?|mrz|maerz|apr(il)?|may|mai|june?|juni|july?|juli|aug(ust)?"
    "|sept?(ember)?|o[ck]t(ober)?|nov(ember)?|de[cz](ember)?"
)
_AMERICAN_DATES = (
    # March_21_1957, Mar.21st,1957, mar211957; margin_12_1957 is none
    re.compile(
        rf"(?<![^\W\d_])({_WHOLE_MONTH})[-_. ]{{0,2}}{_DAY}(st|nd|rd|th)?[-_., ]{{0,2}}(19|20)\d\d(?!\d)", re.IGNORECASE
    ),
    # Mar-21-57, 21-Mar-57
    re.compile(rf"(?<![^\W\d_])({_WHOLE_MONTH})[-_. ]{{1,2}}{_DAY}[-_., ]{{1,2}}\d\d(?![A-Za-z0-9])", re.IGNORECASE),
    re.compile(rf"(?<!\d){_DAY}[-_. ]{{1,2}}({_WHOLE_MONTH})[-_. ]{{1,2}}\d\d(?!\d)", re.IGNORECASE),
)
_ACCESSIONS = (
    # S21-12345, SP-20-1234, H2021/1234, S2021-001234
    re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,3}[-_ ]?(\d\d[-_/ .]\d{4,8}|(19|20)\d\d[-_/ .]\d{3,8})(?!\d)", re.IGNORECASE),
    # 21-S-004567, 2021S1234
    re.compile(r"(?<![A-Za-z0-9])(19|20)?\d\d[-_/ ]?[A-Z]{1,3}[-_/ ]?\d{4,8}(?!\d)", re.IGNORECASE),
    # 2021-12345
    re.compile(r"(?<!\d)(19|20)\d\d[-_/]\d{4,8}(?!\d)"),
    # 7712-2024, H1234/24
    re.compile(r"(?<!\d)\d{3,8}([-_/](19[5-9]|20[0-3])\d|/\d\d)(?!\d)"),
)
_LABELLED = re.compile(
    r"(?<![a-z])((mrn|dob|ssn|nhs|hetu|bsn|cpr|pesel|pid|acc|accession)[-_ :#.]*(no|nr)?[-_ :#.]*\d\d"
    r"|pat(ient)?[-_ .]*(id|no|nr|number|nummer)[-_ :#.]*)\d",
    re.IGNORECASE,
)
_NATIONAL = (
    re.compile(r"(?<!\d)(?P<first>\d{6})[-+A-FU-Y](?P<rest>\d{3}[0-9A-FHJ-NPR-Y])(?![A-Za-z0-9])", re.IGNORECASE),  # fi
    re.compile(r"(?<!\d)(?P<first>\d{6}|\d{8})[-+](?P<rest>\d{4})(?!\d)"),  # se, dk
)
_GROUPED = re.compile(r"(?<!\d)(\d{3}-\d{2}-\d{4}|\d{3}[- ]\d{3}[- ]\d{4}|[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z])(?!\d)")
_LONG_NUMBER = re.compile(r"(?<!\d)(?!00\d{4}(?!\d))\d{6,}")
_LONG = 6
_IN_GROUPS = re.compile(r"(?<!\d)\d{2,}(\s\d{2,})+(?!\d)")  # 12 34 56 78
#: What stands before the numbers of a place, and four numbers that are one: x, y, width and height.
_PLACED = re.compile(r"(tile|roi|region|patch|box|at|[xy])[-_ :=]*(\d+\s)*$", re.IGNORECASE)
_BOX = re.compile(r"\d{3,}(\s\d{3,}){3}")
_JOIN = r"[_ ,.;:&+()\[\]-]{1,3}"
_NAME_PAIR = re.compile(rf"(?<![^\W\d_])(?P<one>[^\W\d_]{{2,}}){_JOIN}(?P<two>[^\W\d_]{{2,}})(?![^\W\d_])")
#: Where MeierAnna falls in two; McDonald, QuPath and random letters do not.
_HUMP = re.compile(r"(?<=[a-zß-öø-ÿ]{2})(?=[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{2})")
#: SMITHJohn and JohnSMITH; few capitals are a code (IHCStain), but beside a given name.
_CAPITALS, _CAPITALISED = "([A-ZÀ-ÖØ-Þ]{2,})", "([A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]{2,})"
_HALF_CAPITALS = re.compile(rf"(?<![^\W\d_])(?:{_CAPITALS}{_CAPITALISED}|{_CAPITALISED}{_CAPITALS})(?![^\W\d_])")
_LEAST_CAPITALS = 5
#: Words of the field, which stand together in names of slides without naming anybody.
_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    amplified aperio area array batch benign biobank biopsy block blocks bond breast cancer carcinoma case cases center
    centre cish cohort control core cores dako data dcis demo diagnosis ductal east edge edges erbb excision external
    file final first fish fold glass group hamamatsu he her hercep hospital idc ihc image images inner internal invasive
    jpeg lab large last left leica lesion level lobular low lymph main margin marker mask medium met metastasis middle
    model negative new node normal north old one outer pair panel part patch patches pathway patient pilot positive
    primary project public random region regions repeat resection right roche roi rois run sample samples scan scanner
    score scored second section series set site slide slides small source south specimen stain stained staining strong
    study svs synthetic target test testing third tiff tile tissue tma train training trial tumor tumors tumour two
    ultra unit unstained val validation ventana weak west whole wsi zone
    """,
    )
)
_GIVEN = frozenset(
    re.findall(
        r"\w+",
        """
    aino ahmad ali anna anne antti aisha carlos chen david elena emma eva fatima hanna hans helena ivan jan james jane
    jari jean johan johanna john jose juan juha kari karin katarzyna lars laura lee lucia maria marie marja mark mary
    matti michael mikko minna mohamed mohammed muhammad nur olga patricia paul pedro peter pieter pirjo ravi robert
    sara sari siti sofia susan tan thomas timo tuula wei william yan yusuf
    """,
    )
)


def why_identifying(text: str) -> str | None:
    """Say what an id looks like that could identify a patient, in a few words; None if it looks harmless."""
    text = as_seen(text)
    if _HARMLESS.fullmatch(text):
        return None
    return next((reason for reason, holds in _FORMS if holds(text)), None)


def why_identifying_region(roi_id: str) -> str | None:
    """As `why_identifying`, of a region's id: numbers of up to nine digits are what annotation tools count with.

    A date of eight digits is asked about all the same, as which one in 500 numbers of eight digits can be read.
    """
    roi_id = as_seen(roi_id)
    is_date = roi_id.isdecimal() and len(roi_id) == 8 and _has_date(roi_id)
    return None if _COUNTED.fullmatch(roi_id) and not is_date else why_identifying(roi_id)


def why_identifying_patch(patch_id: str) -> str | None:
    """As `why_identifying`, of a patch's id or file name."""
    return why_identifying(without_place(patch_id))


def without_place(patch_id: str) -> str:
    """A patch's id or file name less its place on the slide and its suffix: the slide's id, where it begins with it."""
    return _PLACE.sub("", patch_id)


def _has_date(text: str) -> bool:
    found = (match for form in _DATES for match in form.finditer(text))
    return any(_is_date(int(m["y"]), int(m["m"]), int(m["d"])) for m in found) or any(
        form.search(text) for form in (_NAMED_DATE, *_AMERICAN_DATES)
    )


def _is_date(year: int, month: int, day: int) -> bool:
    """Whether it is one, the day before or after the month."""
    year += 0 if year > 99 else 2000
    for one, two in ((month, day), (day, month)):
        try:
            date(year, one, two)
        except ValueError:
            continue
        return True
    return False


def _has_national_number(text: str) -> bool:
    for match in (match for form in _NATIONAL for match in form.finditer(text)):
        first = match["first"][-6:]
        ends = product((first[:2], first[4:]), (first[2:4],))
        if any(1 <= int(day) <= 31 and 1 <= int(month) <= 12 for day, month in ends):
            return True
    return _GROUPED.search(text) is not None


def _has_name(text: str) -> bool:
    if re.search(r"[^\W\d_]\^[^\W\d_]|[\w.]@\w", text):  # as DICOM writes a name, and an address
        return True
    text, start = _HUMP.sub("_", _HALF_CAPITALS.sub(_apart, text)), 0
    while match := _NAME_PAIR.search(text, start):
        one, two = match["one"], match["two"]
        known = {one.casefold(), two.casefold()} & _WORDS
        capital = all(word[0].isupper() and (word[1:].islower() or word.isupper()) for word in (one, two))
        # Of all capitals a name has a vowel and some length; codes have neither.
        spoken = all(word.islower() or not word.isupper() or _is_spoken(word) for word in (one, two))
        if not known and ({one.casefold(), two.casefold()} & _GIVEN or (capital and spoken)):
            return True
        start = match.start("two")
    return False


def _apart(match: re.Match[str]) -> str:
    """A word that is half capitals in two, where they may be a person's."""
    parts = [part for part in match.groups() if part]
    capitals = max(len(part) for part in parts if part.isupper())
    given = {part.casefold() for part in parts} & _GIVEN
    return "_".join(parts) if given or capitals >= _LEAST_CAPITALS else match[0]


def _has_long_number(text: str) -> bool:
    groups = (match for match in _IN_GROUPS.finditer(text) if not _PLACED.search(text[: match.start()]))
    in_groups = (sum(map(str.isdigit, match[0])) for match in groups if not _BOX.fullmatch(match[0]))
    return _LONG_NUMBER.search(text) is not None or any(digits >= _LONG for digits in in_groups)


def _is_spoken(word: str) -> bool:
    return len(word) > 2 and re.search(r"[AEIOUYÄÖÅÉØ]", word) is not None


_FORMS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a national or patient number", lambda text: _LABELLED.search(text) is not None or _has_national_number(text)),
    ("a date", _has_date),
    ("an accession number", lambda text: any(form.search(text) for form in _ACCESSIONS)),
    ("a person's name", _has_name),
    ("a long number, as hospital numbers are", _has_long_number),
)
