"""The settings as they are written, before they are checked: environment, files that it names, ``service.toml``.

Standard library only: the health check runs every few seconds and needs two settings, not the model of all.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Literal

from service.errors import SettingsError

PREFIX = "SERVICE_"
TOML_FILE = "service.toml"
DEFAULT_STATE = Path("state")
DEFAULT_STALL_MINUTES = 30
MOST_BYTES = 64 << 10
"""Of a file with settings or a secret."""
Origin = Literal["default", "environment", "file", "service.toml"]
"""Where a setting is written; ``file``: the one that ``SERVICE_X_FILE`` names."""


def health_settings(folder: Path = Path()) -> tuple[Path, float]:
    """The settings ``state`` and ``stall_minutes``, with the same result as ``settings.load``.

    Raises: ValueError where one has an impossible value, which ``settings.load`` then explains; SettingsError.
    """
    names = ("state", "stall_minutes")
    values = from_toml(folder / TOML_FILE) | from_files(names, os.environ) | _from_variables(names, os.environ)
    state, minutes = values.get("state", str(DEFAULT_STATE)), values.get("stall_minutes", DEFAULT_STALL_MINUTES)
    if not isinstance(state, str) or not isinstance(minutes, str | float | int) or not 0 < float(minutes) < inf:
        raise ValueError(names)
    return Path(state), float(minutes)


def origins(names: Iterable[str], folder: Path = Path()) -> dict[str, tuple[Origin, str]]:
    """Where the value of each setting is written, and under which name: a variable, or a name in ``service.toml``.

    The order of precedence is that of ``settings.load``. Raises: SettingsError where ``service.toml`` cannot be read.
    """
    written, environment = from_toml(folder / TOML_FILE), dict(os.environ)
    variables = {variable.lower(): variable for variable, value in environment.items() if value}
    found: dict[str, tuple[Origin, str]] = {}
    for name in names:
        variable = f"{PREFIX}{name.upper()}"
        if variable.lower() in variables:
            found[name] = "environment", variables[variable.lower()]
        elif environment.get(f"{variable}_FILE"):
            found[name] = "file", f"{variable}_FILE"
        else:
            found[name] = ("service.toml", name) if name in written else ("default", "")
    return found


def from_toml(path: Path) -> dict[str, Any]:
    """The contents of ``service.toml``; empty where there is none. Raises: SettingsError where it cannot be read."""
    try:
        text = _read_file(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    import tomllib  # only where it is needed: see above

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SettingsError:
    return SettingsError(f"{path.name} cannot be read: {error}", hint="correct the file or remove it")


def from_files(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The settings whose value is in the file that ``SERVICE_X_FILE`` names; ``SERVICE_X`` itself has precedence.

    Raises: SettingsError where such a file cannot be read.
    """
    values: dict[str, str] = {}
    for name in names:
        variable = f"{PREFIX}{name.upper()}"
        path = environment.get(f"{variable}_FILE")
        if not path or environment.get(variable):
            continue
        try:
            values[name] = _read_file(Path(path)).strip()
        except (OSError, UnicodeDecodeError):
            raise SettingsError(
                f"{variable}_FILE names a file that cannot be read",
                hint=f"check the path in {variable}_FILE: a regular file of at most {MOST_BYTES >> 10} kB",
            ) from None
    return values


def _read_file(path: Path) -> str:
    """The text of a regular file. A link is followed: secrets are mounted as links. A pipe does not block.

    Raises: OSError, also where it is no regular file or larger than ``MOST_BYTES``; UnicodeDecodeError.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MOST_BYTES} bytes", str(path))
    return content.decode("utf-8")


def command_prefix() -> str | None:
    """How commands begin, before the settings are checked: ``SERVICE_COMMAND``, if it is set."""
    return _from_variables(("command",), os.environ).get("command")


def _from_variables(names: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """The settings in the environment, read as pydantic-settings does: in any case, and empty is not set."""
    lower = {variable.lower(): value for variable, value in environment.items()}
    found = {name: lower.get(f"{PREFIX}{name}".lower(), "") for name in names}
    return {name: value for name, value in found.items() if value}
