"""The effective settings: the value of each as text, and where it is written. For ``doctor`` and a page of settings."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from pydantic import BaseModel, SecretStr

from service.printable import printable
from service.raw_settings import PREFIX, Origin, origins
from service.settings import Settings


class EffectiveSetting(Struct, frozen=True, kw_only=True):
    """One setting as it counts."""

    name: str
    variable: str
    """The environment variable that sets it: ``SERVICE_X``."""
    value: str
    """As text; ``unset`` where there is none. A secret is ``set`` or ``unset``, and tables are counted."""
    origin: Origin
    written_as: str
    """The variable, or the name in ``service.toml``, under which it is written; empty for a default."""
    description: str


def effective_settings(settings: Settings, folder: Path = Path()) -> tuple[EffectiveSetting, ...]:
    """Every setting in the order of docs/settings.md; ``folder`` may hold ``service.toml``, as for ``settings.load``.

    Raises: SettingsError where ``service.toml`` cannot be read.
    """
    fields = type(settings).model_fields
    written = origins(fields, folder)
    return tuple(
        EffectiveSetting(
            name=name,
            variable=f"{PREFIX}{name.upper()}",
            value=_as_text(getattr(settings, name)),
            origin=written[name][0],
            written_as=written[name][1],
            description=field.description or "",
        )
        for name, field in fields.items()
    )


def _as_text(value: object) -> str:
    match value:
        case None:
            return "unset"
        case SecretStr() | BaseModel():
            return "set"
        case (str(), *_):
            return printable(", ".join(map(str, value)))
        case tuple():
            return "unset" if not value else "1 table" if len(value) == 1 else f"{len(value)} tables"
        case bool():
            return str(value).lower()
        case _:
            return printable(str(value))
