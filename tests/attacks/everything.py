"""Imports all that the service may need, for processes that may not read the interpreter's folder any more."""

from __future__ import annotations

import encodings
import importlib
import pkgutil
from pathlib import Path

import pytest

import service
from service.inbox.mounts import file_system_of

_NEEDS_SPARK = ("service.engine.distributed", "service.engine.spark_")
"""These cannot be imported without the extra ``spark``."""

for package in (service, encodings):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith(("__main__", "mbcs", "oem")) and not module.name.startswith(_NEEDS_SPARK):
            importlib.import_module(module.name)
importlib.import_module("_strptime")
file_system_of(Path("/"), 0)
assert pytest
