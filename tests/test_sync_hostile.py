"""Answers that no well-behaved API sends: each ends as a page, a retry, a pause or a refusal that names a setting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.api.headers import http_date, is_rate_limit, requested_pause_seconds, usable_etag
from service.api.pages import NotAPage, has_no_rows, parse_page
from service.api.sweep import Incomplete
from service.errors import RateLimitedError, ServiceError, SettingsError, TransientError, UpstreamRejectedError
from tests.api_house import TODAY, ApiHouse
from tests.certificates import Authority
from tests.raw_api import answer, sending
from tests.scripted_api import Answer, Request, four_customers, page, serving
from tests.sizes import examples

SECRET = "the-secret-key"
YEAR = 366 * 86_400


def four(line: str) -> bytes:
    """Four customers on two pages, and an empty page beyond."""
    number = int(line.partition("page=")[2].partition("&")[0] or 0)
    return answer("200 OK", four_customers(Request(number, 1, {})).body)


def ended(house: ApiHouse) -> ServiceError | None:
    """The error of one sync, None if it was complete. Any error that we did not foresee fails the test."""
    try:
        house.sync()
    except ServiceError as error:
        assert SECRET not in error.explained()
        assert error.explained().isprintable() or "\n" in error.explained()
        return error
    return None


# ---------------------------------------------------------------------------------- every value is within bounds

DEEP = b"[" * 200_000
LONG = b"x" * 9_000
TOO_LONG = b"x" * 70_000
ROWS = b'[{"id": 1}, {"id": 2}]'


def envelope(**changes: str) -> bytes:
    """Page 1 of 2 with these members, written as they are given."""
    members = {"page": "1", "per_page": "2", "total": "4", "total_pages": "2", "data": ROWS.decode()} | changes
    return ("{" + ", ".join(f'"{name}": {value}' for name, value in members.items()) + "}").encode()


HOSTILE: dict[str, tuple[bytes, type[ServiceError] | None]] = {
    "a location that is no URL": (answer("302 Found", b"", b"Location: http://["), UpstreamRejectedError),
    "a location with a bad port": (answer("302 Found", b"", b"Location: https://x:port/"), UpstreamRejectedError),
    "a location of odd bytes": (answer("302 Found", b"", b"Location: \xff\xfe//\x01"), UpstreamRejectedError),
    "a location with escapes": (answer("302 Found", b"", b"Location: http://x/\x1b[31m"), UpstreamRejectedError),
    "no location": (answer("302 Found"), UpstreamRejectedError),
    "an empty location": (answer("308 Permanent Redirect", b"", b"Location:"), UpstreamRejectedError),
    "a location of 9,000 letters": (answer("302 Found", b"", b"Location: /" + LONG), UpstreamRejectedError),
    "a location that cannot be normalised": (
        answer("302 Found", b"", "Location: http://exa\u2100mple/".encode()),
        UpstreamRejectedError,
    ),
    "the key in the location": (answer("302 Found", b"", b"Location: /?k=" + SECRET.encode()), UpstreamRejectedError),
    "the key in the path": (answer("302 Found", b"", b"Location: /" + SECRET.encode()), UpstreamRejectedError),
    "200,000 brackets": (answer("200 OK", DEEP), Incomplete),
    "200,000 brackets in a row": (answer("200 OK", envelope(data="[" + DEEP.decode() + "]" * 200_001)), Incomplete),
    "900 brackets in a row": (answer("200 OK", envelope(data="[" + "[" * 900 + "]" * 901)), TransientError),
    "200,000 objects": (answer("200 OK", b'{"a":' * 200_000), Incomplete),
    "10^30 customers": (answer("200 OK", envelope(total="1" + "0" * 30)), UpstreamRejectedError),
    "10^30 pages": (answer("200 OK", envelope(total_pages="1" + "0" * 30)), UpstreamRejectedError),
    "page 10^30": (answer("200 OK", envelope(page="1" + "0" * 30)), UpstreamRejectedError),
    "10^5000 customers": (answer("200 OK", envelope(total="1" + "0" * 5000)), ServiceError),
    "10^9 pages": (answer("200 OK", envelope(total_pages="1000000000")), Incomplete),
    "a total of 1e400": (answer("200 OK", envelope(total="1e400")), ServiceError),
    "a negative total": (answer("200 OK", envelope(total="-1")), UpstreamRejectedError),
    "a total that is true": (answer("200 OK", envelope(total="true")), UpstreamRejectedError),
    "a header of 70,000 letters": (answer("200 OK", b"", b"X-Long: " + TOO_LONG), Incomplete),
    "70,000 letters of status": (b"HTTP/1.1 200 " + TOO_LONG + b"\r\n\r\n", Incomplete),
    "a status of four digits": (answer("2000 OK"), Incomplete),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", Incomplete),
    "a wrong length": (b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n", Incomplete),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", Incomplete),
    "a broken chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Incomplete),
    "no gzip": (answer("200 OK", b"abc", b"Content-Encoding: gzip"), Incomplete),
    "an unknown encoding": (answer("200 OK", b"abc", b"Content-Encoding: rot13"), Incomplete),
    "an unknown charset": (answer("200 OK", envelope(), kind=b"application/json; charset=klingon"), TransientError),
    "a cookie that is none": (answer("200 OK", envelope(), b"Set-Cookie: \xff=;;=,"), TransientError),
    "an ETag of odd bytes": (answer("200 OK", envelope(), b'ETag: "\xff\xfe"'), TransientError),
    "an ETag of 9,000 letters": (answer("200 OK", envelope(), b'ETag: "' + LONG + b'"'), TransientError),
    "304 without being asked": (answer("304 Not Modified"), Incomplete),
    "100 for ever": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3, Incomplete),
    "a rate limit for ever": (answer("429 No", b"", b"Retry-After: " + b"9" * 400), RateLimitedError),
    "a rate limit until a date that does not exist": (
        answer("429 No", b"", b"Retry-After: Mon, 99 Foo 2026 99:99:99 GMT"),
        RateLimitedError,
    ),
    "a date before time": (
        answer("429 No", b"", b"Date: Mon, 01 Jan 0001 00:00:00 +2359", b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"),
        RateLimitedError,
    ),
}


@pytest.mark.parametrize(("sent", "expected"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_first_answer_is_an_error_that_we_foresee(
    tmp_path: Path, sent: bytes, expected: type[ServiceError]
) -> None:
    with sending(lambda line: sent) as url:
        house = ApiHouse(tmp_path, url, api_key=SECRET, api_request_seconds=1)
        error = ended(house)
    assert isinstance(error, expected), error
    assert not house.delivered.exists()


@pytest.mark.parametrize("sent", [sent for sent, _ in HOSTILE.values()], ids=HOSTILE.keys())
def test_a_hostile_answer_beyond_the_last_page_fails_no_run(tmp_path: Path, sent: bytes) -> None:
    with sending(lambda line: sent if "page=3&" in line else four(line)) as url:
        house = ApiHouse(tmp_path, url, api_key=SECRET, api_request_seconds=1)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_headers_of_nine_thousand_letters_are_read(tmp_path: Path) -> None:
    def with_long_header(line: str) -> bytes:
        return four(line).replace(b"\r\n", b"\r\nX-Policy: " + LONG + b"\r\n", 1)

    with sending(with_long_header) as url:
        house = ApiHouse(tmp_path, url)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


def test_an_id_that_is_no_text_of_unicode_is_a_customer_like_any_other(tmp_path: Path) -> None:
    body = page(1, [1], total=1, total_pages=1).body.replace(b'"id": 1', b'"id": "\\ud83d"')
    with serving(lambda request: Answer(body=body, headers={"content-type": "application/json"})) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
    assert house.ids() == ["?"]


@settings(max_examples=examples(300))
@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["page", "per_page", "total", "total_pages", "data", "id", "x\u001b"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=20,
    ).map(lambda value: json.dumps(value).encode())
)
def test_every_body_is_a_page_or_a_reason(body: bytes) -> None:
    has_no_rows(body)
    try:
        found = parse_page(body, 1, None)
    except NotAPage as error:
        assert error.reason.isidentifier()
    else:
        assert 0 <= found.total <= 10**12
        assert 0 <= found.total_pages <= 10**12


HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "x-ratelimit-reset", "x-ratelimit-remaining", "ratelimit-reset", "date"]),
    st.text(max_size=40) | st.floats().map(str) | st.integers().map(str) | st.datetimes().map(str),
)


@settings(max_examples=examples(400))
@given(HEADERS, st.integers(100, 599))
def test_every_header_is_a_pause_of_at_most_a_year_or_none(headers: dict[str, str], status: int) -> None:
    found = requested_pause_seconds(headers, TODAY)
    assert found is None or 0 <= found <= YEAR
    if is_rate_limit(status, headers):
        assert 400 <= status < 500
    http_date(headers.get("date"))
    usable_etag(headers.get("date"))


# --------------------------------------------------------------------------------------------- what states a limit

UNIX = int(TODAY.timestamp())
STATED: dict[str, tuple[dict[str, str], float]] = {
    "a fraction": ({"retry-after": "0.75"}, 0.75),
    "a fraction above one": ({"retry-after": "1.5"}, 1.5),
    "seconds until the reset": ({"x-ratelimit-reset": "9"}, 9),
    "the time of the reset": ({"x-ratelimit-reset": str(UNIX + 30)}, 30),
    "the time of the reset in milliseconds": ({"x-ratelimit-reset": str(1000 * UNIX + 30_500)}, 30.5),
    "the time of the reset as a date": ({"x-ratelimit-reset": "2026-03-01T12:00:20Z"}, 20),
    "the header of the draft": ({"ratelimit-reset": "12"}, 12),
    "both": ({"retry-after": "3", "x-ratelimit-reset": str(UNIX + 30)}, 3),
    "no requests left": ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4"}, 4),
}


@pytest.mark.parametrize(("headers", "seconds"), STATED.values(), ids=STATED.keys())
@pytest.mark.parametrize("status", [429, 403, 420, 400])
def test_a_stated_pause_is_a_rate_limit_whatever_its_status(
    tmp_path: Path, status: int, headers: dict[str, str], seconds: float
) -> None:
    def limited(request: Request) -> Answer:
        is_first = request.page == 2 and request.nth == 1
        return Answer(status, headers=headers) if is_first else four_customers(request)

    with serving(limited) as api:
        house = ApiHouse(tmp_path, api.url)
        synced = house.sync()
    assert synced.figures.rate_limited == 1
    assert house.clock.slept[0] == pytest.approx(seconds)
    assert house.ids() == [1, 2, 3, 4]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_time_of_a_reset_is_no_limit_while_requests_are_left(tmp_path: Path, status: int) -> None:
    headers = {"x-ratelimit-remaining": "59", "x-ratelimit-reset": str(UNIX + 3000)}
    with serving(lambda request: Answer(status, headers=headers)) as api:
        assert isinstance(ended(ApiHouse(tmp_path, api.url)), UpstreamRejectedError)


def test_a_limit_counts_pauses_since_the_last_page_not_for_each_page(tmp_path: Path) -> None:
    def slow_down(request: Request) -> Answer:
        if request.nth <= 8:  # each page is refused eight times: more than ten in all
            return Answer(429, headers={"retry-after": "1"})
        return four_customers(request)

    with serving(slow_down) as api:
        house = ApiHouse(tmp_path, api.url, api_concurrency=1)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


# ------------------------------------------------------------------------------------- totals, lists that shrink


def test_a_lie_about_the_pages_is_refused_before_it_is_stored(tmp_path: Path) -> None:
    lie = page(1, [1, 2], total=4, total_pages=10**9)
    with serving(lambda request: lie) as api:
        house = ApiHouse(tmp_path, api.url)
        for _ in range(2):
            with pytest.raises(Incomplete, match="SERVICE_API_MAX_PAGES"):
                house.sync()
        assert api.pages == [1, 1]


def test_a_stored_lie_is_forgotten(tmp_path: Path) -> None:
    answers = [page(1, [1, 2], total=4, total_pages=10**9)]

    def answer_to(request: Request) -> Answer:
        return answers.pop() if answers else Answer(500) if request.nth < 14 else four_customers(request)

    with serving(answer_to) as api:
        with pytest.raises(Incomplete):  # a limit that permits so many: the page is stored
            ApiHouse(tmp_path, api.url, api_max_pages=10**10, api_concurrency=1).sync()
        house = ApiHouse(tmp_path, api.url)
        with pytest.raises(Incomplete):
            house.sync()
        for _ in range(4):
            if ended(house) is None:
                break
    assert house.ids() == [1, 2, 3, 4]


def test_a_list_that_shrinks_behind_etags_of_its_rows_alone_is_read_completely(tmp_path: Path) -> None:
    customers = list(range(1, 9))

    def answer_to(request: Request) -> Answer:
        ids = customers[2 * request.page - 2 : 2 * request.page]
        found = page(request.page, ids, total=len(customers), total_pages=-(-len(customers) // 2))
        etag = f'"{ids}"'
        if request.headers.get("if-none-match") == etag:
            return Answer(304, headers={"etag": etag})
        return Answer(body=found.body, headers=found.headers | {"etag": etag})

    with serving(answer_to) as api:
        house = ApiHouse(tmp_path, api.url)
        house.sync()
        for gone in (8, 7, 3):
            customers.remove(gone)
            house.delivered.unlink()
            house.sync()
            assert house.ids() == customers


# ------------------------------------------------------------------------------------- the setting that is named

MESSAGES: dict[str, tuple[Answer, tuple[str, ...]]] = {
    "a wrong shape": (
        Answer(body=b'{"users": [], "count": 3, "page": 1}', headers={"content-type": "application/json"}),
        ("per_page, total, total_pages, data", "users, count, page"),
    ),
    "a list": (Answer(body=b"[1]", headers={"content-type": "application/json"}), ("a list", "total_pages")),
    "a total in quotes": (
        Answer(body=envelope(total='"4"'), headers={"content-type": "application/json"}),
        ("total is not a whole number",),
    ),
    "customers as members": (
        Answer(
            body=b'{"ann@example.com": {}, "\\u001b[31m": 1, "ok": 2}', headers={"content-type": "application/json"}
        ),
        ("it has: ok, 2 others",),
    ),
    "an unprocessable page size": (Answer(422), ("per_page=6", "SERVICE_API_PER_PAGE")),
    "a bad request": (Answer(400), ("SERVICE_API_PER_PAGE", "SERVICE_API_URL")),
    "a wrong key": (Answer(401), ("SERVICE_API_KEY",)),
    "a key without the right": (Answer(403), ("SERVICE_API_KEY",)),
    "no such collection": (Answer(404), ("SERVICE_API_URL",)),
    "a proxy that wants a password": (Answer(407), ("proxy", "SERVICE_API_PROXY")),
    "a redirect": (
        Answer(301, headers={"location": "https://api.example:8443/v2/users?key=secret"}),
        ("https://api.example:8443/v2/users", "SERVICE_API_URL"),
    ),
    "a redirect to another path": (Answer(308, headers={"location": "/v2/users"}), ("/v2/users",)),
}


@pytest.mark.parametrize(("sent", "parts"), MESSAGES.values(), ids=MESSAGES.keys())
def test_a_refusal_ends_the_run_at_once_and_names_the_setting(
    tmp_path: Path, sent: Answer, parts: tuple[str, ...]
) -> None:
    with serving(lambda request: sent) as api:
        error = ended(ApiHouse(tmp_path, api.url, api_key=SECRET))
    assert isinstance(error, UpstreamRejectedError)
    assert [part for part in parts if part not in error.explained()] == []
    assert "secret" not in error.explained()
    assert "ann@" not in error.explained()
    assert api.pages == [1]


@pytest.mark.parametrize(
    ("sent", "setting"),
    [
        (Answer(body=b" " * (2 << 20), headers={"content-type": "application/json"}), "SERVICE_API_MAX_RESPONSE_MB"),
        (Answer(body=b"<html>", headers={"content-type": "text/html"}), "SERVICE_API_URL"),
    ],
)
def test_a_page_that_never_arrives_names_the_setting(tmp_path: Path, sent: Answer, setting: str) -> None:
    with serving(lambda request: sent) as api:
        error = ended(ApiHouse(tmp_path, api.url, api_max_response_mb=1))
    assert isinstance(error, Incomplete)
    assert setting in error.hint


def test_a_host_that_does_not_exist_and_a_proxy_that_is_down_name_the_setting(tmp_path: Path) -> None:
    error = ended(ApiHouse(tmp_path, "http://nowhere.invalid/users", api_allow_http=True))
    assert error is not None
    assert "SERVICE_API_URL" in error.hint
    proxy = "http://me:pass-word@127.0.0.1:9"
    error = ended(ApiHouse(tmp_path, "http://nowhere.invalid/users", api_allow_http=True, api_proxy=proxy))
    assert error is not None
    assert "SERVICE_API_PROXY" in error.hint
    assert "pass-word" not in error.explained()


def test_a_proxy_that_refuses_the_password_for_https_is_named(tmp_path: Path) -> None:
    with sending(lambda line: answer("407 Proxy Authentication Required")) as url:
        proxy = url.replace("http://", "http://me:pass-word@").removesuffix("/api/users")
        error = ended(ApiHouse(tmp_path, "https://api.example/users", api_proxy=proxy))
    assert isinstance(error, UpstreamRejectedError)
    assert "SERVICE_API_PROXY" in error.hint


# ------------------------------------------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.large
def test_a_private_authority_is_trusted_by_its_file_and_named_without(tmp_path: Path, authority: Authority) -> None:
    with sending(four, authority.context_for("localhost")) as url:
        error = ended(ApiHouse(tmp_path / "without", url))
        assert isinstance(error, UpstreamRejectedError)
        assert "SERVICE_API_CA_FILE" in error.hint
        house = ApiHouse(tmp_path / "with", url, api_ca_file=authority.file)
        house.sync()
    assert house.ids() == [1, 2, 3, 4]


@pytest.mark.large
def test_a_certificate_of_another_host_names_the_url(tmp_path: Path, authority: Authority) -> None:
    with sending(four, authority.context_for("elsewhere.example")) as url:
        error = ended(ApiHouse(tmp_path, url, api_ca_file=authority.file))
    assert isinstance(error, UpstreamRejectedError)
    assert "SERVICE_API_URL" in error.hint


def test_an_api_without_tls_is_named(tmp_path: Path) -> None:
    with sending(four) as url:
        error = ended(ApiHouse(tmp_path, url.replace("http://", "https://")))
    assert isinstance(error, UpstreamRejectedError)
    assert "TLS" in error.message


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_certificates_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=r"SERVICE_API_CA_FILE.*ca\.pem"):
        ApiHouse(tmp_path, "https://localhost:9/", api_ca_file=file).sync()
