"""Imports run downhill only, and every effect has one door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).resolve().parents[1] / "service"

# Higher floors may import lower ones. Rooms on the same floor are strangers to one another, but for the stories:
# watcher and by_hand work at the batch_runner, which tells the one story, integrate.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"complaints", "data", "errors", "folders", "model", "suffixes"}),
    frozenset({"presets", "vocabulary"}),
    frozenset({"analytics_rules", "sources"}),
    frozenset({"files", "settings", "logs"}),
    frozenset({"documents", "sqlite"}),
    frozenset({"outcomes"}),
    frozenset({"readers", "state", "health"}),
    frozenset({"engine"}),
    frozenset({"inbox", "outbox", "register", "pipeline", "ledger", "api", "simulator", "acceptance"}),
    frozenset({"verify", "publication"}),
    frozenset({"jobs"}),
    frozenset({"watch"}),
    frozenset({"demo"}),
    frozenset({"cli"}),
    frozenset({"__main__", "container"}),
)
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}

# Effect -> the only rooms that may have it.
DOORS: dict[str, frozenset[str]] = {
    "duckdb": frozenset({"engine"}),
    "fsspec": frozenset({"engine", "readers"}),
    "sqlite3": frozenset({"sqlite", "ledger", "api"}),
    "aiohttp": frozenset({"api"}),
    "watchdog": frozenset({"watch"}),
    "pydantic_settings": frozenset({"settings"}),
    "os.environ": frozenset({"settings", "container"}),
    "print": frozenset({"cli", "container"}),
    "sys.exit": frozenset({"__main__", "container"}),
    "os._exit": frozenset({"__main__", "watch"}),
    "signal": frozenset({"watch", "container", "__main__", "simulator"}),
    "asyncio": frozenset({"api", "simulator", "jobs", "watch", "cli", "demo"}),
    "socket": frozenset({"api", "simulator"}),
    "subprocess": frozenset(),
    "datetime.now": frozenset({"cli", "demo", "container"}),
    "time.time": frozenset(),
    "time.monotonic": frozenset({"watch", "jobs"}),
    "time.sleep": frozenset({"verify"}),
    "service.files": frozenset(
        {
            *("documents", "sqlite", "inbox", "outbox", "register", "ledger", "state", "health", "api"),
            *("acceptance", "jobs"),
            *("batch_runner", "by_hand", "integrate", "verify"),
        }
    ),
    "rename": frozenset({"files"}),
    "shutil": frozenset({"files", "demo"}),
}
# by_hand and inputs only look at files; these names of service.files move or write them.
_MOVERS = {"move", "replace_text", "replace_copies", "remove_tree", "make_folder"}


def _modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(SERVICE.rglob("*.py")):
        room = path.relative_to(SERVICE).parts[0].removesuffix(".py")
        if room != "__init__":
            yield room, path, ast.parse(path.read_text(encoding="utf-8"))


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
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        elif isinstance(node, ast.Attribute):
            yield from (ast.unparse(node), f"{_last(node.value)}.{node.attr}")
            if node.attr in {"rename", "renames", "hardlink_to", "symlink_to"}:
                yield "rename"


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


MODULES = list(_modules())


@pytest.mark.parametrize(("room", "path", "tree"), MODULES, ids=[str(m[1].relative_to(SERVICE)) for m in MODULES])
def test_imports_run_downhill_and_effects_use_their_door(room: str, path: Path, tree: ast.Module) -> None:
    assert room in FLOOR, f"{path} is a room nobody knows: give it a floor"
    for imported in _rooms_imported(tree):
        assert imported == room or FLOOR[imported] < FLOOR[room], f"{path} imports {imported}: that is not downhill"
    for effect in set(_effects(tree)) & set(DOORS):
        assert room in DOORS[effect], f"{path} has the effect {effect}, whose door is {sorted(DOORS[effect])}"


def test_stories_only_look_at_files() -> None:
    for room, path, tree in MODULES:
        if room in {"verify", "watch", "cli"}:
            names = {name for module, name in _imports(tree) if module == "service.files"}
            assert not names & _MOVERS, f"{path} moves files by itself"


def test_every_module_says_what_it_is_for() -> None:
    for _, path, tree in MODULES:
        assert ast.get_docstring(tree), f"{path} has no docstring"


def test_functions_are_short_and_take_few_arguments() -> None:
    for _, path, tree in MODULES:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (
                    (node.end_lineno or node.lineno)
                    - node.lineno
                    + 1
                    - len((ast.get_docstring(node) or "").splitlines())
                )
                arguments = [a for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")]
                assert lines <= 50, f"{path}:{node.lineno} {node.name} has {lines} lines"
                assert len(arguments) <= 6, f"{path}:{node.lineno} {node.name} takes {len(arguments)} arguments"


def test_the_architecture_test_catches_a_breach() -> None:
    tree = ast.parse("from pathlib import Path\nfrom os import rename\nimport duckdb\nPath('a').rename('b')\nprint(1)")
    assert {"rename", "duckdb", "print"} <= set(_effects(tree))
    assert list(_rooms_imported(ast.parse("from service import cli\nimport service.inbox.names"))) == ["cli", "inbox"]
