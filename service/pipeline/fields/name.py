"""Names: the definition, and the same rule in SQL."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import dropwhile

from service.data import read_toml
from service.pipeline.fields.cell import bare_cell
from service.pipeline.fields.missing import is_missing_name
from service.pipeline.fields.text import (
    LONGEST_CACHED,
    LONGEST_TEXT,
    MOST_CACHED,
    Unusable,
    reason_of,
    until_stable,
    value_of,
    visible,
    without_entities,
)
from service.printable import bounded

# ------------------------------------------------------------------------------------------------ definition

PARTICLES = frozenset({"van", "von", "der", "den", "de", "da", "di", "del", "la", "le", "bin", "al"})
_WORDS_OF_NAMES = read_toml("words.toml")["names"]
_BEHIND_A_COMMA = frozenset(
    word for kind in ("legal_forms", "credentials", "suffixes") for word in _WORDS_OF_NAMES[kind]
)
"""Legal forms, credentials and suffixes, in small letters without full stops."""
_ALSO_NAMES = frozenset(_WORDS_OF_NAMES["also_names"])
_TITLES = frozenset(_WORDS_OF_NAMES["titles"])
_MOST_FIRST_NAMES = 4
_APOSTROPHES = "'’‘`´ʼʻ′"
_OTHER_APOSTROPHE = re.compile(f"[{_APOSTROPHES[1:]}]")
_ONE_APOSTROPHE = str.maketrans(dict.fromkeys(_APOSTROPHES, "'"))
_OTHER_WIDTHS = re.compile(r"[\uff00-\uffef]+")
# Letters and digits with their combining marks; any other character (blank, hyphen, full stop …) ends a part.
_MARKS = r"\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
# But the raised stop of a Catalan double l (Gal·la) is part of its word.
_PART = re.compile(rf"(?:[^\W_]|[{_MARKS}]|(?<=[lL])·(?=[lL]))+")
_ROMAN_NUMERALS = frozenset({"II", "III", "IV"})
_AROUND_WORDS = "()[]{}\"'“”‘’;:&/"
_CAMEL_CASE = re.compile(r"(?:Ul+)+Ull+")
_ASCII_CAMEL_CASE = re.compile(r"(?:[A-Z][a-z]+)+[A-Z][a-z]{2,}")


def _letters_in_two_cases() -> tuple[str, str]:
    """Two character classes, capitals and small letters: each maps to one letter of the other, in any context."""
    pairs: dict[str, str] = {}
    for letter in map(chr, (*range(0x250), *range(0x370, 0x530), *range(0x1E00, 0x1F00))):  # Latin, Greek, Cyrillic
        capital = letter.title()
        composed = unicodedata.normalize("NFC", letter + " " + capital) == letter + " " + capital
        # A small sigma has a second form at the end of a word.
        if len(capital) == 1 and capital == letter.upper() != letter == capital.lower() != "σ" and composed:
            pairs[capital] = letter
    return "[" + "".join(pairs) + "]", "[" + "".join(pairs.values()) + "]"


_UPPER, _LOWER = _letters_in_two_cases()
# The classes without their closing bracket, and sigma, which is left out of them for its second small form.
_CAPITALISED = f"{_UPPER[:-1]}Σ]{_LOWER[:-1]}σς]*"
# Names that stay, but for those with "Mc": most names once they were read. They are not taken apart again.
_STAYS = re.compile(rf"{_CAPITALISED}(?:(?:\.? |-){_CAPITALISED})*\.?")


def read_name(text: str) -> str:
    """The name as it is printed: one blank between words, Title Case, inner capitals where they belong.

    Raises: Unusable (invalid_name).

    >>> [read_name(t) for t in ("john smith", "jOHN sMITH", "O'BRIEN", "mcdonald", "jean-luc", "DeVito")]
    ['John Smith', 'John Smith', "O'Brien", 'McDonald', 'Jean-Luc', 'DeVito']
    >>> read_name("Ludwig van Beethoven"), read_name("ludwig van beethoven"), read_name("Smith, John")
    ('Ludwig van Beethoven', 'Ludwig Van Beethoven', 'John Smith')
    >>> read_name("John Smith III"), read_name("JOHN SMITH III"), read_name("DİLEK"), read_name("IJsbrand")
    ('John Smith III', 'John Smith Iii', 'Dilek', 'IJsbrand')
    >>> read_name("Acme, LLC"), read_name("MCDONALD'S"), read_name("Smith &amp; Sons"), read_name("Smith, Mrs. Jane")
    ('Acme, LLC', "McDonald's", 'Smith & Sons', 'Mrs. Jane Smith')
    """
    name = until_stable(_name_once, text)
    # Missing words that other characters had hidden are no name; visible ones were found in their cells.
    if not name or (is_missing_name(name) and not is_missing_name(text)):
        raise Unusable("invalid_name")
    return name


def name_key(name: str) -> str | None:
    """The key by which names are compared: equal keys are the same name, whatever case, width and apostrophe.

    None if the name has but one letter: it is an initial, and no evidence.

    >>> name_key("Straße") == name_key("STRASSE"), name_key("Ann O’Brien") == name_key("ANN O'BRIEN"), name_key("J.")
    (True, True, None)
    """
    key = bounded(name)
    for _ in range(4):  # one round is enough but for a few letters
        former = key
        if _OTHER_APOSTROPHE.search(key):
            key = key.translate(_ONE_APOSTROPHE)
        key = unicodedata.normalize("NFKC", key).casefold()
        if key == former:
            break
    key = unicodedata.normalize("NFC", key)
    return key if sum(map(str.isalnum, key)) > 1 else None


def norm_name(text: str) -> str | None:
    """The name; None if ``trouble_name`` gives a reason."""
    return value_of(lambda: read_name(text))


def trouble_name(text: str) -> str | None:
    """The reason why the name is unusable, or None."""
    return reason_of(lambda: read_name(text))


def _name_once(text: str) -> str:
    if _STAYS.fullmatch(text) and "Mc" not in text:
        return text
    bare = bare_cell(_in_usual_width(visible(without_entities(unicodedata.normalize("NFC", text)))))
    name = _last_name_last(" ".join(bare.split()))
    words = name.split()
    if "," not in name and PARTICLES.isdisjoint(words):
        shown = list(map(_in_title_case, words))
    else:
        shown = _shown_words(words, name)
    if _ends_in_a_numeral(words):
        shown[-1] = words[-1]
    return unicodedata.normalize("NFC", " ".join(shown))


def _shown_words(words: list[str], name: str) -> list[str]:
    has_capital = any(_is_capital(word[0]) for word in words)
    before_comma = name.partition(",")[0].count(" ")  # a word that ends in the comma is before it
    return [
        _shown_word(word, is_particle=index > 0 and has_capital, is_behind_comma=index > before_comma, name=name)
        for index, word in enumerate(words)
    ]


def _in_usual_width(text: str) -> str:
    """Full-width Latin letters and half-width Katakana in their usual form."""
    if text.isascii():
        return text
    folded = _OTHER_WIDTHS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    return unicodedata.normalize("NFC", folded)


def _shown_word(word: str, *, is_particle: bool, is_behind_comma: bool, name: str) -> str:
    if is_particle and word in PARTICLES:
        return word
    if is_behind_comma and _is_no_first_name(word, name) and any(map(_is_capital, word)):
        return word
    return _in_title_case(word)


def _in_title_case(word: str) -> str:
    if word.upper() == word.lower():
        return word  # of a script without cases
    return _titled(word) if len(word) <= LONGEST_CACHED else _PART.sub(_title_case_of_part, word)


@lru_cache(MOST_CACHED)
def _titled(word: str) -> str:
    # Of letters alone: the word is one part.
    return _title_case(word, "") if word.isalpha() else _PART.sub(_title_case_of_part, word)


def _ends_in_a_numeral(words: list[str]) -> bool:
    """John Smith III: a numeral is no word. In a name all in capitals the two look alike (Ii and Iv are names)."""
    return bool(words) and words[-1] in _ROMAN_NUMERALS and any(c.islower() for word in words for c in word)


def _last_name_last(name: str) -> str:
    """ "Last, First" as "First Last"; "Acme, Inc.", "Name, Jr" and "Mary Jones, RN" stay."""
    if "," not in name:
        return name
    last, comma, first = (part.strip() for part in name.partition(","))
    if not (last and comma and first) or "," in first:
        return name
    words = first.split()
    if any(_is_no_first_name(word, name) or any(map(str.isnumeric, word)) for word in words):
        return name
    untitled = list(dropwhile(lambda word: _bare_word(word) in _TITLES, words))
    names = [word for word in untitled if word.casefold() not in PARTICLES]
    return f"{first} {last}" if untitled and len(names) <= _MOST_FIRST_NAMES else name


def _bare_word(word: str) -> str:
    return word.casefold().replace(".", "").strip(_AROUND_WORDS)


def _is_no_first_name(word: str, name: str) -> bool:
    """Whether it is a legal form, a credential or a suffix."""
    bare = _bare_word(word)
    if bare in _ALSO_NAMES:
        return "." not in word and word.isupper() and not name.isupper()
    return bare in _BEHIND_A_COMMA


def _title_case_of_part(part: re.Match[str]) -> str:
    start = part.start()
    return _title_case(part[0], part.string[start - 1] if start else "")


def _title_case(written: str, before: str) -> str:
    """A part of a word; ``before``: the character in front of it, empty at the beginning of the word."""
    if _is_camel_case(written):
        return written
    lower = written.lower()
    if before and before in "'’‘`´′" and sum(map(str.isalpha, lower)) < 2:
        return lower  # McDonald's, Rock 'n' Roll
    if lower.startswith("mc") and len(lower) > 2:
        return "Mc" + _capitalised(lower[2:])
    return _capitalised(lower)


def _is_camel_case(part: str) -> bool:
    """DeVito, LaToya, JoAnn; not SmITH, JOhn: every piece has two letters, the last one three. IJsbrand too."""
    if part.islower() or part.isupper() or part[1:].islower():
        return False
    if part.startswith("IJ"):  # one letter in Dutch
        part = part[1:]
        return len(part) > 2 and part[1:].islower()
    if part.isascii():
        return _ASCII_CAMEL_CASE.fullmatch(part) is not None
    return _CAMEL_CASE.fullmatch("".join(map(_shape_of_letter, part))) is not None


def _shape_of_letter(letter: str) -> str:
    if _is_capital(letter):
        return "U"
    if letter.islower():
        return "l"
    return "" if _is_mark(letter) else "-"


def _capitalised(lower: str) -> str:
    """The first letter as a capital; marks may precede it (ʻOkina), a digit may not (3rd)."""
    if lower.isascii():
        return lower[:1].upper() + lower[1:]
    for index, letter in enumerate(lower):
        if (capital := letter.title()) != letter:
            # Python's lower case of İ is an i with a second dot upon it; Turkish has one: DİLEK is Dilek.
            return lower[:index] + capital + lower[index + 1 :].replace("i\u0307", "i")
        if not _is_mark(letter):
            break
    return lower


def _is_capital(letter: str) -> bool:
    return letter.isupper() or letter.istitle()


def _is_mark(letter: str) -> bool:
    return unicodedata.category(letter) in ("Mn", "Mc", "Lm")


# ------------------------------------------------------------------------------------------------------- SQL


def _latin_letters() -> str:
    """A character class of the Latin letters other than ASCII of which the key is the small letter."""
    letters = map(chr, (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)))
    return "".join(
        it for it in letters if unicodedata.normalize("NFKC", it).casefold() == it.lower() and len(it.lower()) == 1
    )


# Words with blanks, hyphens, apostrophes and full stops between them: first those that do not change, CamelCase
# and particles among them; then those of which each is all capitals, all small letters, or capitalised; last the
# first again with needless blanks, or as "Last, First". Much larger regular expressions are slower than Python.
_LETTERS = f"(?:(?:{_UPPER}{_LOWER}+)*{_UPPER}{_LOWER}{_LOWER}+|Mc{_UPPER}{_LOWER}+|{_UPPER}{_LOWER}*)"
_WORD = rf"(?:{_LETTERS}(?:[''’\-]{_LETTERS}|[''’]{_LOWER})*\.?|(?:{_UPPER}\.)+)"
_OTHER_WORD = f"(?:{_WORD}|{'|'.join(sorted(PARTICLES))})"
_WORDS = f"{_WORD}(?: {_OTHER_WORD})*"
_WORDS_APART = f" *{_WORD}(?: +{_OTHER_WORD})* *"
_SMALL_AFTER_MC = rf"\bMc{_LOWER}"
_CAPITAL_AFTER_APOSTROPHE = rf"[''’]{_UPPER}(?:[ ,''’.\-]|$)"  # one letter there is a small one
_ODD_CASE = f"{_SMALL_AFTER_MC}|{_CAPITAL_AFTER_APOSTROPHE}"
_HAS_ODD_CASE = f"""((instr(full_name, '''') > 0 or instr(full_name, '’') > 0 or instr(full_name, 'Mc') > 0)
                and regexp_matches(full_name, '{_ODD_CASE}'))"""
_ONE_CASE = rf"(?:{_UPPER}+|{_UPPER}?{_LOWER}+|Mc{_UPPER}{_LOWER}+)"
_ONE_CASE_BETWEEN_BLANKS = f"{_ONE_CASE}(?: {_ONE_CASE})*"
_ONE_CASE_WORDS = rf"{_ONE_CASE}(?:(?:\. |[ ''’.\-]){_ONE_CASE})*\.?"
_ONE_LETTER_AFTER_APOSTROPHE = rf"[''’](?:{_UPPER}|{_LOWER})(?:[ ''’.\-]|$)"
_AS_WRITTEN = f" (?:(?:{'|'.join(sorted(PARTICLES))})(?: |$)|(?:III?|IV)$)"
_IS_ALL_TITLE_CASE = (
    f"(not regexp_matches(full_name, '{_AS_WRITTEN}') or full_name in (lower(full_name), upper(full_name)))"
)
_LISTED = "|".join(sorted(map(re.escape, _BEHIND_A_COMMA | _ALSO_NAMES | _TITLES)))
# A word of the lists, a digit, or more than four words behind the comma, or nothing beside it: the definition decides.
_NOT_TURNED = (
    f", *(?:[^,]*[ (])?(?i:{_LISTED})(?:[^A-Za-z]|$)|,.*[0-9]|, *[^ ]+(?: +[^ ]+){{{_MOST_FIRST_NAMES}}}|^ *,|, *$"
)
_TURNED = "substr(full_name, instr(full_name, ',') + 1) || ' ' || left(full_name, instr(full_name, ',') - 1)"
_TIDY = "trim(regexp_replace({}, '  +', ' ', 'g'))"
# No regular expression in a lambda: it would be compiled for each chunk of rows.
_TITLE_CASE = """array_to_string(list_transform({}, lambda word:
                case when starts_with(word, 'mc') then 'Mc' || upper(substr(word, 3, 1)) || substr(word, 4)
                    else upper(left(word, 1)) || substr(word, 2) end), {})"""
_BETWEEN_BLANKS = "string_split(lower(full_name), ' ')"
_WITH_THEIR_MARKS = rf"regexp_extract_all(lower(full_name), '{_LOWER}+[ ''’.\-]*')"
NAME_SQL = rf"""
    case
        when full_name is null then null
        when strlen(full_name) > {LONGEST_TEXT} then norm_name(full_name)
        when regexp_full_match(full_name, '{_WORDS}') and not {_HAS_ODD_CASE} then full_name
        when regexp_full_match(full_name, '{_ONE_CASE_BETWEEN_BLANKS}') and {_IS_ALL_TITLE_CASE}
            then {_TITLE_CASE.format(_BETWEEN_BLANKS, "' '")}
        when regexp_full_match(full_name, '{_WORDS_APART}') and not {_HAS_ODD_CASE}
            then {_TIDY.format("full_name")}
        when instr(full_name, ',') > 0
            and not regexp_matches(replace(full_name, '.', ''), '{_NOT_TURNED}|{_ODD_CASE}')
            and regexp_full_match({_TURNED}, '{_WORDS_APART}')
            then {_TIDY.format(_TURNED)}
        when regexp_full_match(full_name, '{_ONE_CASE_WORDS}') and {_IS_ALL_TITLE_CASE}
            and not regexp_matches(full_name, '{_ONE_LETTER_AFTER_APOSTROPHE}')
            then {_TITLE_CASE.format(_WITH_THEIR_MARKS, "''")}
        else norm_name(full_name)
    end
"""
"""SQL: the normalised ``full_name``."""

_IN_A_KEY = f"[ -_a-~{_latin_letters()}]*"
NAME_KEY_SQL = f"""
    case when full_name is null then null
         when regexp_full_match(full_name, '{_IN_A_KEY}[A-Za-z0-9]{_IN_A_KEY}[A-Za-z0-9]{_IN_A_KEY}')
            then lower(full_name)
         else name_key(full_name) end
"""
"""SQL: ``name_key`` of a normalised ``full_name``."""
