"""Uploads into the inbox: a file lands like any dropped one."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from service import logs
from service.dashboard.routes import Announced, UploadRoute
from service.dashboard.site import Site
from service.dashboard.web.uploads import refuse_too_large
from service.files import free_bytes, make_folder
from service.inbox import NoSpaceForUpload, StagedUpload, landing_name, refuse_second, shown_name
from service.masters.missing import MissingThing
from service.model import Source


class UploadTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a file goes."""

    source: Annotated[str, Meta(max_length=31, pattern=r"^[A-Z][A-Z0-9_]*$")]
    """The name of a source, such as CRM."""


class Landed(Struct, frozen=True, kw_only=True):
    """A file that is in the inbox now."""

    message: str
    source: str
    file_name: str
    """Under which it landed."""
    size_bytes: int


def _check(site: Site, target: UploadTarget, announced: Announced) -> None:
    source = _source(site, target)
    refuse_too_large(announced, site.settings.upload_limit_mb)
    if announced.file_name is not None:
        refuse_second(site.inbox.root, landing_name(announced.file_name, source, site.sources), source)
    make_folder(site.inbox.root)
    if free_bytes(site.inbox.root) < announced.size_bytes:
        raise NoSpaceForUpload


def _upload(site: Site, target: UploadTarget, given_name: str, upload: StagedUpload) -> Landed:
    source = _source(site, target)
    name = landing_name(given_name, source, site.sources)
    upload.land(name, source)
    shown = shown_name(name, site.sources)
    logs.get().info("dashboard.acted", action="upload", source=source.name, file=shown, size_bytes=upload.size_bytes)
    return Landed(
        message=f"{shown} is in the inbox now.", source=source.name, file_name=name, size_bytes=upload.size_bytes
    )


def _source(site: Site, target: UploadTarget) -> Source:
    for source in site.sources:
        if source.name == target.source:
            return source
    names = ", ".join(source.name for source in site.sources)
    raise MissingThing("there is no source of this name", f"there are {names}")


UPLOADS: tuple[UploadRoute[Any, Any], ...] = (
    UploadRoute(
        "upload",
        "/inbox/<source>",
        "drop one file into the inbox as an export of a source",
        UploadTarget,
        Landed,
        _check,
        _upload,
        lambda target, landed: ("overview", {}),
    ),
)
