"""The code and the docs speak plain English, and one word has one meaning."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.test_architecture import tree_of

ROOT = Path(__file__).resolve().parents[1]
WORDS = re.compile(
    r"(?<![a-z])(told|tell|tells|telling|nobody|somebody|whoever|amiss|anew|hears|says[ _]who)(?![a-z])", re.IGNORECASE
)
WRITTEN_BY_US = (".py", ".md", ".toml", ".yml", ".yaml", ".service", ".sh", ".txt")
WITHOUT_ENDING = {"Makefile", "Dockerfile", "run", ".dockerignore", ".gitignore"}
# Names that had two meanings once; each thing has a name of its own now.
HOMONYMS = frozenset(
    {"Verdict", "Bounds", "Listing", "Delivery", "Deliveries", "Places", "place", "places", "Pair", "Stranger"}
)


def _texts() -> Iterator[Path]:
    """Every file of ours that people read: not locked requirements, not the exports and results of cases."""
    for folder in (".ci", "service", "tests", "benchmarks", "docs", "deploy"):
        yield from (ROOT / folder).rglob("*")
    yield from ROOT.iterdir()


def _is_read_by_people(path: Path) -> bool:
    if not path.is_file() or path == Path(__file__) or "__pycache__" in path.parts:
        return False
    if {"cases", "analytics_cases"} & set(path.parts) and path.name != "why.md":
        return False
    return path.suffix in WRITTEN_BY_US or path.name in WITHOUT_ENDING


def _used(text: str) -> list[str]:
    return [found[0] for found in WORDS.finditer(text)]


TEXTS = sorted(filter(_is_read_by_people, _texts()))
MODULES = [path for path in TEXTS if path.suffix == ".py" and "service" in path.relative_to(ROOT).parts[:1]]


def test_the_texts_use_plain_words() -> None:
    assert MODULES
    names = [str(path) for path in TEXTS if _used(str(path.relative_to(ROOT)))]
    lines = [
        f"{path}:{number}: {line}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if _used(line)
    ]
    assert names + lines == []


def test_the_word_list_finds_words_in_identifiers_and_sentences() -> None:
    assert _used("Nobody knows; it is told anew.") == ["Nobody", "told", "anew"]
    assert _used("def each_row(says_who): ...") == ["says_who"]
    assert _used("a teller of foretold tales") == []


def test_every_class_of_the_service_has_a_name_of_its_own() -> None:
    classes: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in classes.items() if len(places) > 1} == {}


def test_no_identifier_is_a_word_of_two_meanings() -> None:
    found = {path: HOMONYMS & set(_identifiers(tree_of(path))) for path in MODULES}
    assert {path: words for path, words in found.items() if words} == {}


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.alias(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.keyword(arg=str(name)):
                yield name
            case _:
                pass
