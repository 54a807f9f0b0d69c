"""The recipients of notifications: the URLs in the settings, each reached through Apprise. No URL is ever shown."""

from __future__ import annotations

import hashlib
import logging
from typing import NamedTuple

import apprise
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from pydantic import SecretStr

from service import logs
from service.errors import SettingsError
from service.notify.decisions import Message
from service.setting_types import split_urls

_TYPES = {"failed": NotifyType.FAILURE, "stuck": NotifyType.WARNING, "recovered": NotifyType.SUCCESS}
_ID_DIGITS = 16
# Their messages quote URLs, and without a handler of ours Python prints them on stderr.
_LIBRARIES = ("apprise", "urllib3", "requests", "asyncio")


class Recipient(NamedTuple):
    """One recipient."""

    number: int
    """Position in the settings, from 1."""
    id: str
    """The beginning of the SHA-256 of its URL."""
    service: str
    """What Apprise calls the kind of it: ``Slack``, ``E-Mail``, ``JSON``."""
    route: Apprise

    def receives(self, message: Message, title: str = "") -> bool:
        """Send it, under its own title unless another is given; whether it arrived."""
        try:
            kind = _TYPES[message.event]
            sent = self.route.notify(message.text, title or message.title, kind, body_format=NotifyFormat.TEXT)
        except Exception as error:  # noqa: BLE001  # of any library: a send that fails must not end the process
            logs.get().error("bug.found", error=error)
            return False
        return bool(sent)


def recipients_of(urls: SecretStr | None) -> list[Recipient]:
    """The recipients in the setting ``notify_urls``. Raises: SettingsError where there is none, or one is not valid."""
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    texts = list(dict.fromkeys(split_urls(urls))) if urls is not None else []
    if not texts:
        raise SettingsError(
            "no recipient of notifications is set", hint="set SERVICE_NOTIFY_URLS; docs/operating.md has examples"
        )
    return [_recipient(number, url) for number, url in enumerate(texts, 1)]


def _recipient(number: int, url: str) -> Recipient:
    asset = AppriseAsset(app_id="Customer integration", async_mode=False)
    server = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if not isinstance(server, apprise.NotifyBase):
        raise SettingsError(
            f"URL {number} of SERVICE_NOTIFY_URLS is none that Apprise can use",
            hint="check it against https://github.com/caronc/apprise/wiki",
        )
    route = Apprise(asset=asset)
    route.add(server)
    digest = hashlib.sha256(url.encode()).hexdigest()
    return Recipient(number, digest[:_ID_DIGITS], str(server.service_name), route)
