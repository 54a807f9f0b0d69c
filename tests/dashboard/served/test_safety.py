"""Attacks on the dashboard over real sockets: from other sites, with wrong tokens, hostile paths and hostile headers.

The routes are those of the application's map of URLs, the pages those that links lead to: new ones are attacked, too.
"""

from __future__ import annotations

import csv
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from structlog.testing import capture_logs
from werkzeug.routing import Rule

from service.dashboard.sample import MOUNTED_AT
from service.dashboard.web.access import FAILURE_SECONDS, MOST_FAILURES, RefusalLog, TokenCheck, TooManyAttempts
from service.dashboard.web.app import create_app
from service.dashboard.web.server import address_of, token_for, token_of
from service.errors import UsageError
from service.settings import Settings
from tests.dashboard.house import BROKEN_LINE, DashboardHouse
from tests.dashboard.served.crawl import Answer, Crawl, application, ask
from tests.dashboard.served.processes import TOKEN, Served, served
from tests.dashboard.served.sockets import exchanged
from tests.sizes import UPLOADED_BYTES, WRONG_TOKENS
from tests.worlds import House

MAKES_SAMPLE = "make_sample"
"""Takes seconds each time, and has no parameters."""
FORM = "application/x-www-form-urlencoded"
ALWAYS = ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy")
FOREIGN = {
    "another site": {"Sec_Fetch_Site": "cross-site", "Origin": "https://evil.example"},
    "a sibling": {"Sec_Fetch_Site": "same-site", "Origin": "http://127.0.0.1:9"},
    "an old browser": {"Origin": "https://evil.example"},
    "a sandbox": {"Origin": "null"},
    "our name on another port": {"Origin": "http://localhost:9"},
    "a name that begins as ours": {"Origin": "http://127.0.0.1.evil.example"},
    "a site that lies": {"Sec_Fetch_Site": "cross-site", "Origin": "SAME"},
    "an unknown word": {"Sec_Fetch_Site": "same-origin, cross-site"},
}
HOSTILE_NAMES = (
    *("..", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e%2f", "..%5c..%5cboot.ini", "%00", "a%00b", "%0d%0aSet-Cookie:x=1"),
    *("%ff%fe", "%c0%ae%c0%ae%2f", "%ef%bc%8e%ef%bc%8e%ef%bc%8f", "%E2%80%AE", "%25%32%65", "~root", "a" * 5000, "%20"),
    *("20240115T120000Z-abcdef%2f..%2f..", "CUST0", "CUST999999999999999999999", "-1", "%3Cscript%3E", "{{7*7}}", "*"),
)


@pytest.fixture(scope="module")
def app(shown: Served) -> Flask:
    """The application, for its map of URLs."""
    return application(shown.root)


def rules(app: Flask, method: str) -> list[Rule]:
    """The routes of a method, but for files of the dashboard itself."""
    served_here = (rule for rule in app.url_map.iter_rules() if not rule.build_only and rule.endpoint != "static")
    return [rule for rule in served_here if method in (rule.methods or ())]


def filled(rule: Rule, value: str) -> str:
    """The path of a route with this value, already encoded, for each of its variables."""
    return re.sub(r"<[^>]+>", lambda _: value, rule.rule)


def files(served: Served) -> set[tuple[str, int]]:
    """The files that users see, and when each was changed."""
    folders = (served.inbox, served.outbox)
    return {(str(path), path.stat().st_mtime_ns) for folder in folders for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------------------- other sites


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_write_from_elsewhere_is_refused_on_every_route_and_changes_nothing(
    shown: Served, app: Flask, kind: str
) -> None:
    before = files(shown)
    headers = {name: shown.url if value == "SAME" else value for name, value in FOREIGN[kind].items()}
    for rule in rules(app, "POST"):
        for value in {"CUST001", next(path.name for path in shown.quarantine())}:
            for prefix in ("", MOUNTED_AT):
                path = prefix + filled(rule, value)
                answer = ask(shown.url, path, "POST", b"a=b", Content_Type=FORM, **headers)
                assert answer.status == 403, path
                assert answer.headers.get("set-cookie") is None
    assert files(shown) == before


def test_a_write_from_the_page_itself_is_not_refused(shown: Served) -> None:
    for headers in ({"Sec_Fetch_Site": "same-origin"}, {"Origin": shown.url}, {"Sec_Fetch_Site": "none"}, {}):
        assert ask(shown.url, "/logout", "POST", b"", **headers).status == 303


def test_a_method_cannot_be_put_in_a_header_or_parameter(shown: Served, app: Flask) -> None:
    before = files(shown)
    for rule in rules(app, "POST"):
        path = filled(rule, next(path.name for path in shown.quarantine()))
        usual = ask(shown.url, path)
        for name in ("X_HTTP_Method_Override", "X_HTTP_Method", "X_Method_Override"):
            assert ask(shown.url, path, "GET", b"", **{name: "POST"}).status == usual.status, path
        with_query = ask(shown.url, f"{path}?_method=POST")
        assert with_query.status in (usual.status, 400), path
    assert files(shown) == before


def test_no_other_site_may_read_or_ask(shown: Served, found: Crawl) -> None:
    for path in (*found.answers, "/api/v1/overview"):
        preflight = ask(shown.url, path, "OPTIONS", Origin="https://evil.example", Access_Control_Request_Method="POST")
        answer = ask(shown.url, path, Origin="https://evil.example")
        for one in (preflight, answer):
            assert [name for name in one.headers if name.startswith("access-control")] == [], path


# -------------------------------------------------------------------------------------------------------- host names


@pytest.mark.parametrize(
    "lines",
    [
        ("Host: evil.example",),
        ("Host: evil.example:PORT",),
        ("Host: localhost.evil.example",),
        ("Host: 127.0.0.1.nip.example",),
        ("Host: localhost", "Host: evil.example"),
        ("Host: evil.example", "Host: localhost"),
        ("Host: evil@localhost",),
        ("Host: localhost, evil.example",),
        ("Host: localhost/evil",),
        ("Host: localhost#evil.example",),
        ("Host: ",),
        ("Host: localhost:PORT:PORT",),
        ("Host: evil.example", "X-Forwarded-Host: localhost", "Forwarded: host=localhost"),
        ("X-A: no host",),
    ],
    ids=lambda lines: " | ".join(lines),
)
def test_an_unknown_host_name_learns_nothing(shown: Served, lines: tuple[str, ...]) -> None:
    named = [line.replace("PORT", str(shown.port)) for line in lines]
    for path in ("/", "/api/v1/overview", "/login", "/static/app.css"):
        status, text = exchanged(shown.port, f"GET {path} HTTP/1.1", *named)
        assert status == 400, text
        assert "pill" not in text
        assert "evil" not in text.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:PORT", "[::1]:PORT", "LOCALHOST:PORT", "192.0.2.7"])
def test_addresses_and_localhost_are_known(shown: Served, host: str) -> None:
    assert exchanged(shown.port, "GET / HTTP/1.1", f"Host: {host.replace('PORT', str(shown.port))}")[0] == 200


def test_an_absolute_address_in_the_request_line_is_bound_to_the_host(shown: Served) -> None:
    status, text = exchanged(shown.port, "GET http://evil.example/ HTTP/1.1", "Host: localhost")
    assert "evil" not in text, status
    assert exchanged(shown.port, "GET http://localhost/ HTTP/1.1", "Host: evil.example")[0] == 400


def test_probes_are_answered_under_any_name(shown: Served) -> None:
    assert exchanged(shown.port, "GET /healthz HTTP/1.1", "Host: 10-0-0-7.pod.cluster.example")[0] == 200


def test_only_users_read_the_reasons_of_a_probe(shown: Served, guarded: Served) -> None:
    for dashboard, headers, is_user in (
        (shown, {}, True),
        (shown, {"Host": "evil.example"}, False),
        (guarded, {}, False),
        (guarded, {"Authorization": f"Bearer {TOKEN}"}, True),
    ):
        answer = ask(dashboard.url, "/readyz", "GET", b"", **headers)
        assert '"is_ready":' in answer.text
        assert ("every folder can be written" in answer.text) == is_user


# ------------------------------------------------------------------------------------------------- hostile requests


def test_no_variable_of_a_path_leads_out_of_the_service(shown: Served, app: Flask) -> None:
    secret = Path("/etc/passwd").read_text(encoding="utf-8").splitlines()[0]
    before = files(shown)
    for method in ("GET", "POST"):
        for rule in (rule for rule in rules(app, method) if rule.arguments):
            for value in HOSTILE_NAMES:
                path = filled(rule, value)
                status, text = exchanged(shown.port, f"{method} {path} HTTP/1.1", "Host: localhost")
                assert status in (301, 308, 400, 404, 405, 409), f"{method} {path[:200]}: {text[:300]}"
                assert secret not in text
                assert "x=1" not in text.partition("\r\n\r\n")[0]
    assert files(shown) == before


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e/site.py", "/static//etc/passwd"]
)
def test_files_of_the_program_are_not_served(shown: Served, path: str) -> None:
    assert exchanged(shown.port, f"GET {path} HTTP/1.1", "Host: localhost")[0] in (301, 308, 400, 404)


@pytest.mark.large
@pytest.mark.slow
def test_hostile_queries_are_refused_and_break_nothing(shown: Served, app: Flask) -> None:
    many = "&".join(f"p{number}={number}" for number in range(10_000))
    queries = (
        "a=" + "b" * 60_000,
        many[:60_000],
        "%ff=%fe",
        "=%00",
        "q=%00",
        "&&&&",
        "a=1&a=2",
        "%",
        "a[]=1",
        "?",
        "=",
    )
    for rule in (rule for rule in rules(app, "GET") if not rule.arguments):
        for query in queries:
            status, text = exchanged(shown.port, f"GET {rule.rule}?{query} HTTP/1.1", "Host: localhost")
            assert status in (200, 303, 400, 431), f"{rule.rule}?{query[:40]}: {text[:300]}"


@pytest.mark.large
@pytest.mark.slow
def test_hostile_forms_are_refused_and_break_nothing(shown: Served, app: Flask) -> None:
    bodies = {
        "&".join(f"p{number}={number}" for number in range(10_000)).encode(): FORM,
        b"a=" + b"b" * 900_000: FORM,
        b"%ff=%fe&%00=%00": FORM,
        b"[" * 500_000: "application/json",
        b'{"a":' * 100_000: "application/json",
        b'{"a": "\xff\xfe"}': "application/json",
        b'["a"]': "application/json",
        b"<a/>": "application/xml",
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n" * 5_000
        + b"--x--": "multipart/form-data; boundary=x",
        b"--x\r\nno end": "multipart/form-data; boundary=x",
        b"a": "multipart/form-data",
    }
    before = files(shown)
    # Variables of a path are of no thing that exists, so that a form that is accepted changes nothing.
    for rule in (rule for rule in rules(app, "POST") if not rule.endpoint.endswith(MAKES_SAMPLE)):
        for body, kind in bodies.items():
            answer = ask(shown.url, filled(rule, "CUST0"), "POST", body, Content_Type=kind)
            assert answer.status < 500, f"{rule.rule} {body[:40]!r}: {answer.text[:300]}"
    assert files(shown) == before


def test_only_the_methods_of_a_route_are_answered(shown: Served, app: Flask) -> None:
    for rule in (rule for rule in app.url_map.iter_rules() if not rule.build_only):
        path = filled(rule, "CUST001")
        for method in ("TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND", "NONSENSE"):
            answer = ask(shown.url, path, method)
            assert answer.status == 405, f"{method} {path}"
            assert "TRACE" not in answer.headers["allow"]


def test_looking_changes_nothing(shown: Served, found: Crawl) -> None:
    before = files(shown)
    for address in found.answers:
        ask(shown.url, address)
    assert files(shown) == before


@pytest.mark.large
def test_a_large_upload_takes_disk_and_not_memory(tmp_path: Path) -> None:
    line = b"CRM1,Ann Lee,ann@example.com,,2024-01-01,active\n"
    content = b"customer_id,full_name,email,phone,signup_date,status\n" + line * (UPLOADED_BYTES // len(line))
    with served(tmp_path / "house", is_watched=False) as dashboard:
        ask(dashboard.url, "/")
        before = dashboard.dashboard.memory_mb()
        assert ask(dashboard.url, "/api/v1/inbox/CRM", "POST", content, X_File_Name="crm_customers.csv").status == 200
        assert dashboard.dashboard.memory_mb() - before < 20
        assert (dashboard.inbox / "crm_customers.csv").stat().st_size == len(content)


def test_head_is_get_without_a_body(shown: Served, found: Crawl) -> None:
    for endpoint, addresses in found.endpoints.items():
        head = ask(shown.url, addresses[0], "HEAD")
        assert (head.status in (200, 204), head.body) == (True, b""), endpoint


# ------------------------------------------------------------------------------------------------- headers, cookies


def is_safe(answer: Answer) -> bool:
    """Whether an answer has the headers that every answer has."""
    policy = answer.headers.get("content-security-policy", "")
    is_strict = "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
    return is_strict and all(name in answer.headers for name in ALWAYS) and "server" not in answer.headers


def test_every_answer_has_the_safe_headers(shown: Served, found: Crawl, app: Flask) -> None:
    others = [
        ask(shown.url, path) for path in ("/nothing", "/api/v1/nothing", "/static/nothing", "/?nothing=1", "/login")
    ]
    others += [ask(shown.url, "/", "POST"), ask(shown.url, "/", Host="evil.example"), ask(shown.url, "/", "OPTIONS")]
    others += [ask(shown.url, "/logout", "POST"), ask(shown.url, "/logout", "POST", Origin="null")]
    others += [ask(shown.url, filled(rule, "CUST001")) for rule in rules(app, "GET")]
    for answer in (*found.answers.values(), *others):
        assert is_safe(answer), answer
    css = found.address("static")
    again = ask(shown.url, css, If_None_Match=found.answers[css].headers["etag"])
    assert (again.status, is_safe(again)) == (304, True)


def test_only_files_of_the_program_may_be_kept_by_a_cache(found: Crawl) -> None:
    for address, answer in found.answers.items():
        is_static = address.startswith("/static/")
        assert ("no-store" in answer.headers["cache-control"]) == (not is_static), address


def test_downloads_are_attachments_and_never_pages(found: Crawl) -> None:
    for address, answer in found.answers.items():
        kind = answer.headers["content-type"].partition(";")[0]
        if kind != "text/html" and not address.startswith(("/static/", "/api/", "/healthz", "/readyz", "/metrics")):
            assert answer.headers["content-disposition"].startswith("attachment"), address


# ------------------------------------------------------------------------------------------------- tokens, sessions


def entered(dashboard: Served) -> str:
    """The cookie of a user who logged in."""
    answer = ask(dashboard.url, "/login", "POST", f"token={TOKEN}".encode(), Content_Type=FORM)
    assert answer.status == 303
    return answer.headers["set-cookie"].partition(";")[0]


def test_without_the_token_every_route_is_closed(guarded: Served, app: Flask) -> None:
    before = files(guarded)
    for rule in (rule for rule in app.url_map.iter_rules() if not rule.build_only):
        is_open = rule.rule in ("/login", "/healthz", "/readyz") or rule.endpoint == "static"
        for method in set() if is_open else (rule.methods or set()) - {"OPTIONS"}:
            for prefix in ("", MOUNTED_AT):
                answer = ask(guarded.url, prefix + filled(rule, "CUST001"), method)
                assert answer.status in (302, 401), f"{method} {prefix}{rule.rule}"
                assert answer.headers.get("location", f"{prefix}/login") == f"{prefix}/login"
    assert files(guarded) == before


def test_the_token_and_a_session_open_the_pages(guarded: Served) -> None:
    assert ask(guarded.url, "/", Authorization=f"Bearer {TOKEN}").status == 200
    assert ask(guarded.url, "/", Cookie=entered(guarded)).status == 200
    assert ask(guarded.url, "/", Authorization="Basic dXNlcjpwYXNz").status == 302


def test_the_cookie_is_for_the_browser_alone(guarded: Served) -> None:
    answer = ask(guarded.url, "/login", "POST", f"token={TOKEN}".encode(), Content_Type=FORM)
    flags = {flag.strip().lower() for flag in answer.headers["set-cookie"].split(";")}
    assert {"httponly", "samesite=strict", "path=/"} <= flags
    assert not any(flag.startswith("domain") for flag in flags)
    assert TOKEN not in answer.headers["set-cookie"]


@pytest.mark.parametrize("key", [b"", b"another key", TokenCheck("a former token").session_key(), TOKEN.encode()])
def test_a_cookie_that_another_key_signed_opens_nothing(guarded: Served, key: bytes) -> None:
    forger = Flask("forger")
    forger.secret_key = key or b"\0"
    serializer = SecureCookieSessionInterface().get_signing_serializer(forger)
    assert serializer is not None
    right = entered(guarded)
    name, _, value = right.partition("=")
    payload, _, signature = value.partition(".")
    forged = (str(serializer.dumps({"is_in": True})), f"{payload}.", f"{payload[::-1]}.{signature}", "", "true")
    for cookie in forged:
        assert ask(guarded.url, "/", Cookie=f"{name}={cookie}").status == 302


def test_another_site_cannot_use_up_the_attempts_by_a_link(guarded: Served) -> None:
    for _ in range(2 * MOST_FAILURES):
        answer = ask(guarded.url, "/login?token=wrong", Sec_Fetch_Site="cross-site")
        assert answer.status == 200
    assert ask(guarded.url, "/", Authorization=f"Bearer {TOKEN}").status == 200


@pytest.mark.large
def test_very_many_wrong_tokens_are_not_even_compared(shown: Served) -> None:
    with served(shown.root, is_watched=False, token=TOKEN) as dashboard:
        dashboard.dashboard.log()
        cookie = entered(dashboard)
        lines = len(dashboard.dashboard.log())
        answers = []
        for number in range(WRONG_TOKENS):
            if number % 2:
                answers.append(ask(dashboard.url, "/api/v1/overview", Authorization=f"Bearer wrong{number}"))
            else:
                answers.append(ask(dashboard.url, "/login", "POST", b"token=wrong", Content_Type=FORM))
        statuses = [answer.status for answer in answers]
        assert statuses == [401] * MOST_FAILURES + [429] * (WRONG_TOKENS - MOST_FAILURES)
        right = ask(dashboard.url, "/", Authorization=f"Bearer {TOKEN}")
        assert right.status == 429
        assert 0 < int(right.headers["retry-after"]) <= FAILURE_SECONDS
        assert "pill" not in right.text
        # A probe needs no token, so none that it sends can fail it.
        assert ask(dashboard.url, "/healthz", Authorization=f"Bearer {TOKEN}").status == 200
        assert '"is_ready":' in ask(dashboard.url, "/readyz", Authorization="Bearer wrong").text
        # Who is in stays in.
        assert ask(dashboard.url, "/", Cookie=cookie).status == 200
        assert len(dashboard.dashboard.log()) - lines <= 4
        assert "wrong1" not in dashboard.dashboard.printed()
        assert TOKEN not in dashboard.dashboard.printed()


def test_a_token_of_any_letters_opens_the_pages_by_header_and_by_login(shared_house: DashboardHouse) -> None:
    token = "schlüssel-鍵"
    client = create_app(shared_house.site(), token).test_client()
    sent = f"Bearer {token}".encode().decode("latin-1")  # as a server hands it over
    assert client.get("/", headers={"Authorization": sent}).status_code == 200
    assert client.get("/", headers={"Authorization": f"{sent}x"}).status_code == 302
    assert client.post("/login", data={"token": token}).status_code == 303


def settings_with(**given: Any) -> Settings:
    """Settings of the dashboard."""
    return Settings(**given)


def test_a_damaged_token_file_stops_the_start_and_says_what_to_do(tmp_path: Path) -> None:
    settings = settings_of(state=tmp_path, http_host="0.0.0.0")
    with pytest.raises(UsageError, match="there is no token"):
        token_of(settings)
    token, is_new = token_for(settings)
    assert (is_new, token_for(settings), token_of(settings)) == (True, (token, False), token)
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="damaged") as raised:
        token_for(settings)
    assert "remove it" in raised.value.hint


def settings_of(**values: Any) -> Settings:
    return Settings(**values)


def test_the_address_to_log_in_is_the_published_one_with_the_port_that_listens() -> None:
    assert address_of(settings_of(http_host="0.0.0.0", http_port=0), 18_990) == "http://localhost:18990"
    assert address_of(settings_of(http_host="::1"), 8080) == "http://[::1]:8080"
    assert address_of(settings_of(page_url="https://dash.example/"), 8080) == "https://dash.example"
    with pytest.raises(ValueError, match="no user, query or fragment"):
        settings_of(page_url="https://dash.example/?token=x")


@pytest.mark.large
@pytest.mark.slow
def test_a_later_start_says_how_to_print_the_token_and_that_prints_it(house: House) -> None:
    settings = {"http_host": "0.0.0.0", "http_port": "0"}
    said = [first_line_of_dashboard(house, **settings) for _ in range(2)]
    token = (house.state / "token").read_text(encoding="utf-8").strip()
    assert re.fullmatch(rf"log in at http://localhost:[1-9]\d+/login\?token={token}", said[0])
    assert said[1].startswith("the token is in state/token; print it with: ")
    shown = house.run("dashboard", "--show-token", **settings)
    assert (shown.code, shown.out, shown.err) == (0, f"{token}\n", "")
    assert house.run("dashboard", "--show-token", http_port="0").code == 2, "on loopback there is none"


def first_line_of_dashboard(house: House, **settings: str) -> str:
    command = [sys.executable, "-m", "service", "dashboard"]
    process = subprocess.Popen(
        command,
        cwd=house.root,
        env=house.environment(**settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    with process:
        line = process.stderr.readline().strip()
        process.terminate()
    return line


def test_a_port_that_is_taken_is_answered_by_the_next(house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = house.run("dashboard", http_port=str(port))
    assert done.code == 2
    assert f"hint:  choose another port: export SERVICE_HTTP_PORT={port + 1}" in done.err


def test_after_a_minute_the_right_token_is_right_again() -> None:
    now = [0.0]
    tokens = TokenCheck("right", clock=lambda: now[0])
    for _ in range(MOST_FAILURES):
        assert not tokens.is_right("wrong")
    with pytest.raises(TooManyAttempts):
        tokens.is_right("right")
    now[0] = FAILURE_SECONDS + 0.1
    assert tokens.is_right("right")


def test_refusals_are_counted_in_one_log_line_a_minute() -> None:
    now = [0.0]
    refusals = RefusalLog(clock=lambda: now[0])
    assert [refusals.note("wrong token") for _ in range(100)] == [1] + [0] * 99
    assert refusals.note("foreign origin") == 1
    now[0] = 60.0
    assert refusals.note("wrong token") == 100


# --------------------------------------------------------------------------------------------------- personal data


@pytest.fixture(scope="module")
def persons(shown: Served) -> set[str]:
    """Names, e-mails and phones of every published customer and every export, folded; words of names as well."""
    cells: set[str] = set()
    for path in shown.outbox.rglob("customer_master.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                cells |= {row["full_name"], row["email"], row["phone"], *row["full_name"].split()}
    return {cell.lower() for cell in cells if len(cell) > 4 and cell != "N/A"}


def test_no_address_on_any_page_has_personal_data(found: Crawl, persons: set[str]) -> None:
    assert "john.smith@email.com" in persons
    for link in (*found.links, *found.answers, *(form.action for form in found.forms.values())):
        plain = unquote(link).lower()
        assert [person for person in persons if person in plain] == [], link


def test_the_log_of_the_dashboard_has_no_personal_data(
    shown: Served, found: Crawl, persons: set[str], shared_house: DashboardHouse
) -> None:
    hostile = quote("john.smith@email.com")
    for path in (f"/customers/{hostile}", f"/batches/{hostile}", f"/?q={hostile}", f"/{hostile}"):
        ask(shown.url, path)
    for form in found.forms.values():
        if form.method == "post" and form.action != "/sample":
            body = "&".join(f"{name}=john.smith%40email.com" for name in form.fields)
            ask(shown.url, form.action, "POST", body.encode(), Content_Type=FORM)
    printed = shown.dashboard.printed().lower()
    assert [person for person in persons | {"quarantined"} if person in printed] == []
    assert BROKEN_LINE not in printed


def test_questions_and_answers_leave_no_personal_data_in_addresses_and_in_the_log(
    asking: Served, found_asking: Crawl
) -> None:
    with open(asking.outbox / "customer_master.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    persons = {row[name].lower() for row in rows for name in ("full_name", "email", "phone")} - {"n/a"}
    assert "john barbury" in persons
    form = found_asking.forms["POST /review/answer"]
    body = f"batch={form.fields['batch']}&position=1&answer=neither&note=john.0%40mail.example&by=John+Barbury"
    assert ask(asking.url, form.action, "POST", body.encode(), Content_Type=FORM).status == 400
    addresses = (*found_asking.links, *found_asking.answers, *(it.action for it in found_asking.forms.values()))
    text = unquote(" ".join(addresses)).lower() + asking.dashboard.printed().lower()
    assert [person for person in persons if person in text] == []


def test_the_name_of_a_person_in_a_file_name_is_not_logged(own_house: DashboardHouse) -> None:
    name = "crm_customers_Ann Lee.csv"
    app = create_app(own_house.site())

    @app.get("/failing")
    def failing() -> str:
        raise PermissionError(13, "Permission denied", str(own_house.works.inbox / name))

    with capture_logs() as events:
        answer = app.test_client().get("/failing")
    assert answer.status_code == 503
    assert [event["event"] for event in events] == ["dashboard.failed"]
    assert "crm_customers_#" in answer.text
    assert "Ann" not in f"{events}{answer.text}"


def test_hostile_names_are_text_on_every_page(found: Crawl) -> None:
    for address, answer in found.answers.items():
        if answer.headers["content-type"].startswith("text/html"):
            assert re.findall(r"<script(?! src=\"/static/)", answer.text) == [], address
            assert re.findall(r"\son\w+\s*=|\sstyle\s*=|javascript:", answer.text.lower()) == [], address


def test_the_dashboard_stays_small(shown: Served, found: Crawl) -> None:
    assert found.answers
    assert shown.dashboard.memory_mb() < 250
