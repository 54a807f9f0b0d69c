"""Types of settings that can be written wrongly: URLs, keys, tokens. A check names what is wrong, never the value."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from service.model import Matching

_IN_A_PASSWORD = "in a password, / ? # @ : % are written as %2F %3F %23 %40 %3A %25"
_SHORTEST_TOKEN = 8
_BETWEEN_URLS = re.compile(r"[,\s]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")


_HOST_AND_PORT = r"(?:\[[^\]\s]+\]|[^\s,:\[\]]+):[0-9]{1,5}"
_SPARK_MASTER = re.compile(
    r"local(?:\[(?:\*|[1-9][0-9]*)(?:,[0-9]+)?\])?|yarn|k8s://[^\s]+"
    rf"|spark://{_HOST_AND_PORT}(?:,{_HOST_AND_PORT})*"
)


def split_urls(urls: SecretStr) -> list[str]:
    """The URLs in ``notify_urls``. A comma or blank that no URL follows is part of the URL before it."""
    found = _BETWEEN_URLS.split(urls.get_secret_value().strip(" \t\r\n,"))
    return [url for url in found if url]


def _web_url(url: str) -> SplitResult:
    """The parts of an http or https URL. Raises: ValueError, never with the words of a library, which quote the URL."""
    unreadable = ValueError(f"is not a URL that can be read: check its host and port; {_IN_A_PASSWORD}")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is parsed when it is asked for
    except ValueError:
        raise unreadable from None
    if not url.isprintable() or any(sign.isspace() for sign in url):
        raise unreadable
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError("must begin with https:// (or http://) and name a host")
    return parts


def _collection(url: str) -> str:
    parts = _web_url(url)
    if parts.username or parts.password or parts.query or parts.fragment or "@" in parts.path:
        raise ValueError("must have no user, query or fragment; the key belongs in SERVICE_API_KEY")
    return url


def _page(url: str) -> str:
    parts = _web_url(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must have no user, query or fragment")
    return url.rstrip("/")


def _matcher(name: object) -> object:
    if name not in get_args(Matching):
        raise ValueError(f"names no matcher; there is: {', '.join(get_args(Matching))}")
    return name


def _compared_matcher(name: object) -> object:
    if name not in (None, "safe"):
        raise ValueError("names no matcher to compare with; there is: safe")
    return name


def _proxy(proxy: SecretStr) -> SecretStr:
    parts = _web_url(proxy.get_secret_value())
    if parts.netloc.count("@") > 1 or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(f"must be http://user:password@host:port; {_IN_A_PASSWORD}")
    return proxy


def _spark_master(master: str) -> str:
    if not _SPARK_MASTER.fullmatch(master):
        raise ValueError("is no master of Spark: local[*], local[4], spark://host:7077, k8s://https://host:443 or yarn")
    return master


def _header_value(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("has a character that no header may have: not ASCII, or a line break")
    return SecretStr(text.strip())


def _token(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < _SHORTEST_TOKEN:
        raise ValueError(f"must have at least {_SHORTEST_TOKEN} characters")
    return token


def _apprise_urls(urls: SecretStr) -> SecretStr:
    if not all("://" in url and url.isprintable() for url in split_urls(urls)):
        raise ValueError("must be URLs of Apprise, such as mailto://… or slack://…, separated by commas")
    return urls


ApiUrl = Annotated[str, AfterValidator(_collection)]
"""A collection of the customers API."""
PageUrl = Annotated[str, AfterValidator(_page)]
"""Without a slash at its end."""
ProxyUrl = Annotated[SecretStr, AfterValidator(_proxy)]
HeaderSecret = Annotated[SecretStr, AfterValidator(_header_value)]
"""A secret that is sent in a header."""
Token = Annotated[SecretStr, AfterValidator(_token)]
NotifyUrls = Annotated[SecretStr, AfterValidator(_apprise_urls)]
EngineName = Literal["embedded", "spark"]
SparkMaster = Annotated[str, AfterValidator(_spark_master)]
MatcherName = Annotated[Matching, BeforeValidator(_matcher)]
ComparedMatcher = Annotated[Literal["safe"] | None, BeforeValidator(_compared_matcher)]
