"""Routes of the dashboard as values: a page shows a view, an action changes something, a file is saved.

Each is served twice: as HTML, and below ``/api/v1`` as JSON. Parameters and views are typed; from these types the
OpenAPI document is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, Literal, Protocol, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    from service.dashboard.site import Site
    from service.inbox import StagedUpload

P = TypeVar("P", bound=Struct)
R = TypeVar("R", bound=Struct)
D = TypeVar("D", bound="ActionResult")


class ActionResult(Protocol):
    """The result of an action or upload: a Struct."""

    @property
    def message(self) -> str:
        """One sentence for the person who acted."""


class NoParameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of a route that has none."""


@dataclass(frozen=True)
class PageRoute(Generic[P, R]):
    """A page: ``build`` makes its view from its parameters and changes nothing.

    Parameters are the variables of the path, and the query; with POST the form or JSON body instead of the query, for
    text that must not stand in a URL.
    """

    name: str
    """Of the endpoint, and of the template ``<name>.html`` unless ``template`` names another."""
    path: str
    """As Flask writes it: ``/batches/<batch_id>``."""
    summary: str
    parameters: type[P]
    view: type[R]
    build: Callable[[Site, P], R]
    method: Literal["GET", "POST"] = "GET"
    template: str = ""
    is_unchanged: Callable[[P, R], bool] = lambda parameters, view: False
    """Whether the client shows this view already: its answer in HTML is 204, without content."""


@dataclass(frozen=True)
class ActionRoute(Generic[P, D]):
    """An action, always POST: ``run`` changes something by a function that the command line uses, too.

    Its log line names the action and ids. In HTML the answer is a redirect to ``next_page``, with ``result.message``.
    """

    name: str
    path: str
    summary: str
    parameters: type[P]
    result: type[D]
    run: Callable[[Site, P], D]
    next_page: Callable[[P, D], tuple[str, dict[str, Any]]]
    """Endpoint and its path variables."""
    works_on_sample: bool = False
    """Whether the sample below ``/demo`` allows it, where nothing may change."""


@dataclass(frozen=True)
class UploadRoute(Generic[P, D]):
    """An upload of one file, always POST, streamed to the disk.

    In HTML it is the member ``file`` of a multipart form, and the answer a redirect to ``next_page`` with
    ``result.message``. In the API it is the body as it is; its name is in the header ``X-File-Name``, because it may be
    that of a person and must not stand in a URL. ``check`` runs before a large body is received.
    """

    name: str
    path: str
    summary: str
    parameters: type[P]
    result: type[D]
    check: Callable[[Site, P, Announced], None]
    run: Callable[[Site, P, str, StagedUpload], D]
    """Given the name that the client gave."""
    next_page: Callable[[P, D], tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Announced:
    """What the header of a request says of the file that follows."""

    file_name: str | None
    """None where the body says it."""
    size_bytes: int
    """At most so many; those of a form are a little more than those of its file."""


@dataclass(frozen=True)
class ServedFile:
    """An open file that is sent as it is, and then closed."""

    file: BinaryIO
    name: str
    """Under which a browser saves it."""
    media_type: str = "application/octet-stream"
    sha256: str | None = None
    """Of its bytes, where it cannot change."""


@dataclass(frozen=True)
class FileRoute(Generic[P]):
    """A file to be saved: ``find`` opens it.

    The path never becomes a path in the file system: ``find`` looks its variables up in a list.
    """

    name: str
    path: str
    summary: str
    parameters: type[P]
    find: Callable[[Site, P], ServedFile]


Route = PageRoute[Any, Any] | ActionRoute[Any, Any] | UploadRoute[Any, Any] | FileRoute[Any]


class Done(Struct, frozen=True, kw_only=True):
    """The result of an action without other results."""

    message: str
