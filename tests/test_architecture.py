"""The rooms of ``docs/architecture.md`` are the rooms of the code: imports, effects, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SERVICE = ROOT / "service"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

EFFECTS = frozenset(
    {
        *("duckdb", "fsspec", "sqlite3", "aiohttp", "watchdog", "pydantic_settings", "socket", "subprocess"),
        *("os.environ", "print", "sys.exit", "os._exit", "signal", "asyncio", "shutil", "rename"),
        *("datetime.now", "time.time", "time.monotonic", "time.sleep", "moves files"),
    }
)
"""What only named rooms may do; ``moves files``: call what writes, moves or removes in ``service.files``."""
_LOOKS = {
    *("fingerprint", "fingerprint_of", "sha256_of", "sha256_of_each", "free_bytes", "is_synced"),
    *("open_file", "open_regular", "read_regular"),
}
_MOST_CLASS_LINES, _MOST_ATTRIBUTES, _MOST_LINES, _MOST_ARGUMENTS = 200, 12, 50, 6


class Room(NamedTuple):
    """One row of the table of rooms."""

    floor: int
    job: str
    effects: frozenset[str]


def _rows(name: str) -> Iterator[list[str]]:
    table = PAGE.partition(f"<!-- {name}:")[2].partition(f"<!-- /{name} -->")[0]
    for line in table.splitlines()[3:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def _words(cell: str) -> frozenset[str]:
    return frozenset(word.strip(" `") for word in cell.split(",") if word.strip(" `–"))


ROOMS = {row[1].strip("`/"): Room(int(row[0]), row[2], _words(row[3])) for row in _rows("rooms")}
LISTED_MODULES = [row[0].strip("`") for row in _rows("modules")]


def _paths() -> Iterator[tuple[str, Path]]:
    for path in sorted(SERVICE.rglob("*.py")):
        room = path.relative_to(SERVICE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path


@cache
def tree_of(path: Path) -> ast.Module:
    """The parsed module."""
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Module and name of every import: ``from a import b`` is (a, b), ``import a`` is (a, "")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that they can be read anywhere"
            yield from ((node.module or "", alias.name) for alias in node.names)


def _rooms_imported(tree: ast.AST) -> Iterator[str]:
    for module, name in _imports(tree):
        if module == "service" and name != "__version__":
            yield name
        elif module.startswith("service."):
            yield module.split(".")[1]


def _effects(tree: ast.AST) -> Iterator[str]:
    for module, name in _imports(tree):
        yield module
        yield module.split(".")[0]
        yield f"{module}.{name}"
        if name in {"rename", "replace", "renames", "link", "symlink"} and module == "os":
            yield "rename"
        if module == "service.files" and name not in _LOOKS and not name.isupper():
            yield "moves files"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute):
            yield from (ast.unparse(node), f"{_last(node.value)}.{node.attr}")
            if node.attr in {"rename", "renames", "hardlink_to", "symlink_to"}:
                yield "rename"


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


PATHS = list(_paths())


def test_imports_go_to_lower_floors() -> None:
    imports = ((path, room, imported) for room, path in PATHS for imported in _rooms_imported(tree_of(path)))
    others = ((path, room, imported) for path, room, imported in imports if imported != room)
    assert [
        f"{path} imports {imported}" for path, room, imported in others if ROOMS[imported].floor >= ROOMS[room].floor
    ] == []


def test_effects_stay_in_their_rooms() -> None:
    found = {path: set(_effects(tree_of(path))) & EFFECTS - ROOMS[room].effects for room, path in PATHS}
    assert {path: effects for path, effects in found.items() if effects} == {}, (
        "list it in docs/architecture.md, or move the code"
    )


def test_the_page_lists_the_rooms_and_modules_that_exist() -> None:
    found = {path.stem if path.is_file() else path.name for path in SERVICE.iterdir() if path.name != "__pycache__"}
    assert set(ROOMS) == found - {"__init__"}
    inside = [path.relative_to(SERVICE) for _, path in PATHS if path.parent != SERVICE]
    assert sorted(LISTED_MODULES) == sorted(str(path) for path in inside if path.name != "__init__.py")


def test_no_room_is_given_an_effect_that_it_does_not_have() -> None:
    had: dict[str, set[str]] = {}
    for room, path in PATHS:
        had.setdefault(room, set()).update(set(_effects(tree_of(path))) & EFFECTS)
    assert {room: set(given.effects) for room, given in ROOMS.items()} == had


def test_no_modules_import_each_other_in_a_circle() -> None:
    imported = {_name(path): set(_modules_imported(tree_of(path))) for _, path in PATHS}
    while free := {name for name, needed in imported.items() if not needed & imported.keys() - {name}}:
        imported = {name: needed for name, needed in imported.items() if name not in free}
    assert sorted(imported) == []


def _name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _modules_imported(tree: ast.AST) -> Iterator[str]:
    names = {_name(path) for _, path in PATHS}
    for module, name in _imports(tree):
        yield f"{module}.{name}" if f"{module}.{name}" in names else module


def test_every_module_says_what_it_is_for() -> None:
    assert [path for _, path in PATHS if not ast.get_docstring(tree_of(path))] == []


def test_functions_are_short_and_take_few_arguments() -> None:
    breaches = []
    for _, path in PATHS:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = _lines(node) - len((ast.get_docstring(node) or "").splitlines())
                arguments = [a for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
                if lines > _MOST_LINES or len(arguments) > _MOST_ARGUMENTS:
                    breaches.append(f"{path}:{node.lineno} {node.name}: {lines} lines, {len(arguments)} arguments")
    assert breaches == []


def test_classes_are_small() -> None:
    breaches = []
    for room, path in PATHS:
        if room in {"settings", "documents"}:
            continue  # tables: their fields are the settings and the members of published documents
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                lines, attributes = _lines(node), set(_attributes(node))
                if lines > _MOST_CLASS_LINES or len(attributes) > _MOST_ATTRIBUTES:
                    breaches.append(f"{path}:{node.lineno} {node.name}: {lines} lines, {sorted(attributes)}")
    assert breaches == []


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _attributes(node: ast.ClassDef) -> Iterator[str]:
    """Declared fields, and whatever a method assigns to ``self``."""
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store) and ast.unparse(inner.value) == "self":
            yield inner.attr


def test_the_checks_catch_a_breach() -> None:
    tree = ast.parse("from pathlib import Path\nfrom os import rename\nimport duckdb\nPath('a').rename('b')\nprint(1)")
    assert {"rename", "duckdb", "print"} <= set(_effects(tree))
    assert "moves files" in set(_effects(ast.parse("from service.files import sha256_of, move")))
    assert "moves files" not in set(_effects(ast.parse("from service.files import sha256_of")))
    assert list(_rooms_imported(ast.parse("from service import cli\nimport service.inbox.names"))) == ["cli", "inbox"]
    holder = ast.parse("class A:\n    x: int\n    def f(self): self.y = self.z; self.v[0] = 1").body[0]
    assert isinstance(holder, ast.ClassDef)
    assert set(_attributes(holder)) == {"x", "y"}
