"""Rejections: why the API, or a proxy, rejects a request and would reject a retry, and which setting to correct.

Text from outside appears in a message only in a safe form: never the key, a query, a password or a control character.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from urllib.parse import unquote, urljoin, urlsplit

import aiohttp

from service.api.endpoint import Endpoint
from service.errors import UpstreamRejectedError

_HINTS = {
    401: "set SERVICE_API_KEY, or SERVICE_API_KEY_FILE",
    403: "check whether the key in SERVICE_API_KEY may read customers",
    404: "check whether SERVICE_API_URL is the collection of customers",
    405: "check whether SERVICE_API_URL is the collection of customers",
    407: "check the user and the password in SERVICE_API_PROXY",
}
_REFUSES_A_PARAMETER = frozenset({400, 422})
_HINT_OF_REASON = {
    "timeout": "if the API is slow, raise SERVICE_API_REQUEST_SECONDS or lower SERVICE_API_PER_PAGE",
    "too_large": "raise SERVICE_API_MAX_RESPONSE_MB, or lower SERVICE_API_PER_PAGE",
    "no_json": "check whether SERVICE_API_URL is the collection of customers, not a web page",
    "client_connector_dnserror": "check the host in SERVICE_API_URL",
    "client_proxy_connection_error": "check SERVICE_API_PROXY",
    "client_http_proxy_error": "check SERVICE_API_PROXY",
}
# Numbers of OpenSSL (x509_vfy.h). Unknown issuer: it is not found, self-signed or not trusted.
_UNKNOWN_ISSUER, _EXPIRED, _WRONG_HOST = frozenset({2, 18, 19, 20, 21, 27}), 10, frozenset({62, 64})
_ISSUER_HINT = "if its authority is private, set SERVICE_API_CA_FILE to the certificate of that authority (PEM)"
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,253}", re.ASCII)
_LONGEST_PATH = 200


def hint_for(reasons: Iterable[str]) -> str | None:
    """The setting to correct if pages failed for these reasons; None if none is known."""
    reasons = set(reasons)
    return next((hint for reason, hint in _HINT_OF_REASON.items() if reason in reasons), None)


def rejection(status: int, page: int, endpoint: Endpoint) -> UpstreamRejectedError:
    """The error for a status of this page that no retry will change."""
    hint = _HINTS.get(status, "check SERVICE_API_URL")
    if status in _REFUSES_A_PARAMETER:
        hint = f"it may not permit per_page={endpoint.per_page}: lower SERVICE_API_PER_PAGE; else check SERVICE_API_URL"
    elif status == 401 and endpoint.key:
        hint = "the API does not accept the key: check SERVICE_API_KEY, or SERVICE_API_KEY_FILE"
    sender = "the proxy" if status == 407 else "the API"
    which = f" to the request for page {page}" if page > 1 else ""
    return UpstreamRejectedError(f"{sender} answers {status}{which}", where=endpoint.address, hint=hint)


def redirect(location: str | None, endpoint: Endpoint) -> UpstreamRejectedError:
    """The error for a redirect: the key would be sent to its target."""
    target = _target(location, endpoint)
    return UpstreamRejectedError(
        f"the API redirects to {target or 'an unreadable address'}, and the key would be sent there",
        where=endpoint.address,
        hint=f"if the API has moved there, set SERVICE_API_URL to {target or 'its new address'}",
    )


def wrong_shape(explanation: str, endpoint: Endpoint) -> UpstreamRejectedError:
    """The error for a first page of another shape."""
    return UpstreamRejectedError(
        f"the answer is not a page of customers: {explanation}",
        where=endpoint.address,
        hint="check whether SERVICE_API_URL is the collection of customers; docs/sync.md describes the expected shape",
    )


def lasting(error: aiohttp.ClientError, endpoint: Endpoint) -> UpstreamRejectedError | None:
    """The error for a connection that will fail again until a setting is corrected; None if a retry may help."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _untrusted(error.certificate_error, endpoint)
    if isinstance(error, aiohttp.ClientConnectorSSLError) and "WRONG_VERSION_NUMBER" in str(error.os_error):
        return UpstreamRejectedError(
            "the API does not speak TLS",
            where=endpoint.address,
            hint="check the scheme and the port in SERVICE_API_URL",
        )
    if isinstance(error, aiohttp.ClientHttpProxyError) and 400 <= error.status < 500:
        hint = _HINTS[407] if error.status == 407 else "check SERVICE_API_PROXY, and whether it permits SERVICE_API_URL"
        return UpstreamRejectedError(f"the proxy answers {error.status}", where=endpoint.address, hint=hint)
    return None


def _untrusted(error: Exception, endpoint: Endpoint) -> UpstreamRejectedError:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else None
    if code in _WRONG_HOST:
        why, hint = "is for another host", "check the host in SERVICE_API_URL"
    elif code == _EXPIRED:
        why, hint = "has expired", "its operator must renew it; check the clock of this machine as well"
    elif code in _UNKNOWN_ISSUER:
        why, hint = "is of an authority that this machine does not trust", _ISSUER_HINT
    else:
        why, hint = "is not valid", _ISSUER_HINT
    return UpstreamRejectedError(f"the certificate of the API {why}", where=endpoint.address, hint=hint)


def _target(location: str | None, endpoint: Endpoint) -> str | None:
    """Scheme, host and path of a redirect; None where they cannot be read."""
    try:
        parts = urlsplit(urljoin(endpoint.url, location or ""))
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if not location or parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return None
    path = parts.path
    has_key = bool(endpoint.key) and str(endpoint.key) in f"{path} {unquote(path)}"
    if has_key or len(path) > _LONGEST_PATH or not (path.isascii() and path.isprintable()):
        path = "/…"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}{path}"
