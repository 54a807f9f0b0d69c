"""What tests need of the machine: without it they are skipped, or fail where ``REQUIRE_ALL=1``, as in CI."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from service.inbox.mounts import honours_leases

IS_REQUIRED = os.environ.get("REQUIRE_ALL") == "1"


def needs(is_here: bool, reason: str) -> pytest.MarkDecorator:
    """A mark that skips a test where ``is_here`` is false; where it is required the test runs, and fails."""
    return pytest.mark.skipif(not is_here and not IS_REQUIRED, reason=f"{reason} (REQUIRE_ALL=1 runs it)")


def is_lacking(reason: str) -> NoReturn:
    """Skip the running test, or fail it where everything is required."""
    if IS_REQUIRED:
        pytest.fail(reason)
    pytest.skip(f"{reason} (REQUIRE_ALL=1 makes this a failure)")


needs_root = needs(os.geteuid() == 0, "acts as other users, which only root can")
needs_strace = needs(shutil.which("strace") is not None, "needs strace")
needs_promtool = needs(shutil.which("promtool") is not None, "needs promtool, from Debian's package prometheus")
_TEMPORARY = Path(tempfile.gettempdir())
needs_leases = needs(
    honours_leases(_TEMPORARY / "any", _TEMPORARY.stat().st_dev), "the temporary folder has no file leases"
)
