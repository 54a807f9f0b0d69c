"""The names of the jobs."""

from __future__ import annotations

from typing import Literal

JobName = Literal["integration", "analytics"]
"""What a batch produces: a customer master, or the analytics export."""
