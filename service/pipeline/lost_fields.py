"""Lost fields: warnings about fields without any value, which name what was looked for and what is there instead."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches

from service.errors import UnreadableFile
from service.model import FieldPath, Layout, Source
from service.readers.csv_header import folded
from service.readers.rows import FileReport

MOST_NAMES = 12
"""So many names of columns or members are listed."""
_CLOSE = 0.75
"""How similar two names must be, as ``difflib`` measures it, for one to be meant by the other."""
_LONG = 5
"""A shorter name is not looked for inside others."""


def lost_field_warnings(
    report: FileReport, source: Source, lost: Sequence[str], optional: Collection[str] = ()
) -> Iterator[str]:
    """One warning for each field of ``lost``: the layout has paths for it, and no row has a value.

    A field of ``optional`` is reported only if something with a similar name is there.
    """
    free = list(report.unread)
    for name in lost:
        similar = _taken(name, report.layout, free)
        if not similar and name in optional:
            continue
        yield _warning(name, report, source, similar)


def elsewhere_warnings(
    elsewhere: Mapping[str, tuple[int, FieldPath]], report: FileReport, source: Source
) -> Iterator[str]:
    """One warning for each field that some rows have at another origin only than the one that is read."""
    for name, (count, path) in elsewhere.items():
        written = " + ".join(path)
        rest = [" + ".join(option) for option in report.layout.fields[name] if option != path]
        yield (
            f'{count} rows have a value for {name} under "{written}" only, which is not read because others have it '
            f"elsewhere; to read both, {_in_table(report.layout, source)} {_mapped(name, [*rest, written])}"
        )


def refuse_without_contacts(
    report: FileReport, source: Source, rows: int, filled: Collection[str], fields: Collection[str]
) -> None:
    """Raises: UnreadableFile if no row has one of these fields; such a file must not replace the real customers."""
    if not rows or set(fields).intersection(filled):
        return
    free, mapped = list(report.unread), []
    for name in dict.fromkeys((*fields, *(it for it in report.layout.fields if it not in filled))):
        if similar := _taken(name, report.layout, free):
            mapped.append(_mapped(name, similar))
    hint = "map its columns or members with fields in service.toml, as docs/sources.md describes"
    if mapped:
        hint = f"{_in_table(report.layout, source)} {' and '.join(mapped)}, and drop it again"
    raise UnreadableFile(
        f"none of its {rows} rows has a name, an e-mail address or a phone under a known column or path",
        found=listed(report.unread),
        hint=hint,
    )


def _warning(name: str, report: FileReport, source: Source, similar: str) -> str:
    layout = report.layout
    wanted = [" + ".join(f'"{path}"' for path in option) for option in layout.fields[name]]
    origins = f"{', '.join(wanted[:-1])} or {wanted[-1]}" if len(wanted) > 1 else wanted[0]
    is_missing = report.is_csv and set(report.paths).isdisjoint(layout.paths_of(name))
    what = f"no column {origins} for {name}" if is_missing else f"no value for {name} in any row, at {origins}"
    text = f"{what}; {_effect(name, source)}"
    if report.unread:
        text += f"; not read are {listed(report.unread)}"
    if similar and layout.page:
        text += f'; did you mean "{similar}"? Then give it the name {origins}, as {layout.page} lists it'
    elif similar:
        text += f'; did you mean "{similar}"? Then, {_in_table(layout, source)} {_mapped(name, similar)}'
    return text


def _effect(name: str, source: Source) -> str:
    if name == "source_id":
        return "rows are known by their content"
    if name == "orders_count":
        return "no orders are counted"
    return f"it is {source.defaults[name]} everywhere" if name in source.defaults else "its values are N/A"


def _in_table(layout: Layout, source: Source) -> str:
    """Where a field is mapped, so that the other fields stay as they are."""
    preset = "" if layout.name == source.own.name else f'preset = "{layout.name}" and '
    return f"in service.toml, in the table [[sources]] of {source.name}, set {preset}".rstrip()


def _mapped(name: str, paths: str | list[str]) -> str:
    """The line of ``service.toml`` that reads the field from these paths."""
    return f"fields.{name} = {json.dumps(paths, ensure_ascii=False)}"


def _taken(name: str, layout: Layout, free: list[str]) -> str:
    """As ``fields`` in ``service.toml`` has it, what may be meant by a field; taken out of ``free``. Empty if nothing.

    What is joined from several paths is found whole or not at all: half a name is another name.
    """
    options = [*layout.fields[name], (name,)]
    for option in sorted(options, key=len, reverse=True):
        found: list[str] = []
        for path in option:
            similar = _similar(path, [it for it in free if it not in found])
            found += [similar] if similar else []
        if len(found) == len(option):
            free[:] = [it for it in free if it not in found]
            return " + ".join(found)
    return ""


def _similar(path: str, others: Sequence[str]) -> str | None:
    """The name of a column, or the path of a member, that is similar to this path."""
    wanted = {folded(path)}
    if path.count(".") == 1:
        wanted.add(folded(path.rpartition(".")[2]))
    for other in others:
        names = {folded(other), folded(other.rpartition(".")[2])}
        is_part = any(it in there for it in wanted if len(it) >= _LONG for there in names)
        if is_part or any(get_close_matches(it, names, n=1, cutoff=_CLOSE) for it in wanted):
            return other
    return None


def listed(names: Sequence[str]) -> str:
    """The first names, in quotes."""
    shown = ", ".join(f'"{name}"' for name in names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown
