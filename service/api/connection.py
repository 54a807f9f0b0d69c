"""The only outgoing socket: a session that sends the key to the configured host and nowhere else."""

from __future__ import annotations

import ssl

import aiohttp

from service.api.endpoint import Endpoint
from service.errors import SettingsError

_LONGEST_HEADER = 64 << 10


def open_session(endpoint: Endpoint) -> aiohttp.ClientSession:
    """A session for requests to the endpoint. Raises: SettingsError for an unusable file of certificates."""
    return aiohttp.ClientSession(
        headers={"accept": "application/json"} | ({"x-api-key": endpoint.key} if endpoint.key else {}),
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(ssl=_trust(endpoint)),
        # Neither proxies nor keys from the environment: only what was set.
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )


def _trust(endpoint: Endpoint) -> ssl.SSLContext:
    """The certificates of the system, and those of the file in the settings."""
    context = ssl.create_default_context()
    if endpoint.ca_file is not None:
        try:
            context.load_verify_locations(cafile=endpoint.ca_file)
        except OSError as error:  # SSLError among them: the file is no PEM
            why = "is no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror
            raise SettingsError(
                f"SERVICE_API_CA_FILE: {endpoint.ca_file}: {why}",
                hint="name a file with the certificate of the authority that signed the API's certificate",
            ) from None
    return context
