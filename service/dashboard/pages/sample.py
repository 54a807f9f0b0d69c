"""Actions on the sample: make it, make it again, remove it."""

from __future__ import annotations

from typing import Any

from service.dashboard.routes import ActionRoute, Done, NoParameters
from service.dashboard.sample import make_sample, remove_sample
from service.dashboard.site import Site


def _make(site: Site, _: NoParameters) -> Done:
    make_sample(site)
    return Done(message="The sample was made: five customers of eight records, and an export of twelve customers.")


def _remove(site: Site, _: NoParameters) -> Done:
    remove_sample(site)
    return Done(message="The sample was removed.")


ACTIONS: tuple[ActionRoute[Any, Any], ...] = (
    ActionRoute(
        "make_sample",
        "/sample",
        "make the sample below /demo, in folders of its own",
        NoParameters,
        Done,
        _make,
        lambda parameters, done: ("sample", {}),
    ),
    ActionRoute(
        "remove_sample",
        "/sample/remove",
        "remove the sample",
        NoParameters,
        Done,
        _remove,
        lambda parameters, done: ("overview", {}),
    ),
)
