"""The web's site on a real Nginx, before a real server: what it serves, refuses and logs; a reload cuts nothing."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from core.supervision import states_of
from tests.deploy.factories_nginx import NAME
from tests.deploy.factories_site import Site, a_site, asking, on_open_lines
from tests.webapp.factories import a_patient, zipped
from webapp.app import _HEADERS, _PAGE_POLICY


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("site")) as site:
        yield site


def test_the_pages_come_from_nginx_with_the_headers_of_the_application(site: Site) -> None:
    with site.client() as client:
        page = client.get("/app/predict/new")
        assert page.status_code == 200
        assert page.headers["Content-Type"] == "text/html"
        assert page.headers["Cache-Control"] == "no-cache"
        (script, *_) = re.findall(r"/app/[\w.-]+\.js", page.text)
        file = client.get(script)
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert file.headers["Content-Type"] == "text/javascript"
        assert file.headers["Content-Encoding"] == "gzip"
        for answer in (page, file):
            said = {name: answer.headers[name] for name in _HEADERS}
            assert said == _HEADERS
            assert answer.headers["Content-Security-Policy"] == _PAGE_POLICY
            assert "X-Request-Id" not in answer.headers  # else the application was asked
        assert client.get("/app/none.js").status_code == 404
        assert client.get("/app/..%2fweb.toml").status_code in (400, 404)


def test_the_api_is_behind_it_and_knows_who_asks(site: Site) -> None:
    with site.client("anna") as client:
        who = client.get("/session").json()
        assert (who["user"], who["role"]) == ("anna", "clinician")
        lied = client.get("/session", headers={"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"})
        assert lied.status_code == 200
    with site.client("otto") as auditor:
        events = auditor.get("/log", params={"action": "signed.in"}).json()["events"]
        assert {one["told"]["address"] for one in events} == {"127.0.0.1"}
        assert auditor.get("/session", headers={"Host": "evil.example"}).status_code == 400


def test_plain_http_leads_to_https_and_the_way_of_the_certificates_authority_stays_open(site: Site) -> None:
    plain = f"http://127.0.0.1:{site.front.plain_port}"
    led = httpx.get(f"{plain}/app/log?user=anna")
    assert (led.status_code, led.headers["Location"]) == (308, f"https://{NAME}/app/log?user=anna")
    challenge = site.front.folder / "acme" / ".well-known" / "acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("answer")
    assert httpx.get(f"{plain}/.well-known/acme-challenge/token").text == "answer"
    on_tls = httpx.get(f"http://127.0.0.1:{site.front.port}/")
    assert on_tls.status_code == 400
    assert set(on_tls.json()) == {"problem", "fix"}


def test_what_is_too_large_is_refused_in_the_words_of_the_application(site: Site) -> None:
    with site.client() as client:
        for path, size in (("/predict", 68_000_000), ("/tokens", 600_000)):
            answer = client.post(path, content=b"x" * size, headers={"Content-Type": "application/json"})
            assert answer.status_code == 413
            assert set(answer.json()) == {"problem", "fix"}


def test_no_line_of_the_log_has_a_query_and_no_upload_waits_on_the_disk(site: Site, tmp_path: Path) -> None:
    with site.client("ben") as client:
        assert client.get("/predict", params={"since": "2026-01-01T00:00:00Z"}).status_code == 200
        with zipped(a_patient(tmp_path / "a", "MRN-77"), tmp_path / "a.zip").open("rb") as file:
            assert client.post("/predict", files={"files": file}).status_code == 202
    assert " GET /predict 200 " in site.front.logged()
    assert "since" not in site.front.logged()
    assert "MRN" not in site.front.logged()
    assert list((site.front.folder / "body").rglob("*")) == []


def test_a_reload_cuts_no_request_off_and_reads_the_settings_anew(site: Site, tmp_path: Path) -> None:
    path = zipped(a_patient(tmp_path / "b", "MRN-78"), tmp_path / "b.zip")
    with on_open_lines(site, 4) as clients, asking(clients) as answered, site.client() as slow:
        halfway, go_on = threading.Event(), threading.Event()
        upload = threading.Thread(target=_upload, args=(site, path, halfway, go_on, answered))
        upload.start()
        halfway.wait()
        toml = site.server.config.data / "web.toml"
        toml.write_text(toml.read_text() + "\n[retention]\nresult_days = 77\n")
        before = site.server.serving()
        assert site.server.process
        site.server.process.send_signal(1)  # SIGHUP
        while not site.server.serving() - before:
            slow.get("/session/ways")
        go_on.set()
        upload.join()
        for _ in range(3):
            so_far = answered[200]
            site.server.reload()
            while answered[200] < so_far + 20:
                slow.get("/session/ways")
    assert answered["upload"] == 202
    failures = {what: count for what, count in answered.items() if what not in (200, "upload")}
    assert not failures
    with site.client("ada") as client:
        assert client.get("/server").json()["retention"]["result_days"] == 77


def test_a_server_that_is_down_is_said_to_be(site: Site) -> None:
    site.server.stop()
    with site.client() as client:
        answer = client.get("/session/ways")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert set(answer.json()) == {"problem", "fix"}
        assert client.get("/app/").status_code == 200
    site.server.start()  # takes the place of the socket that was left behind
    assert [state.name for state in states_of(site.server.config.data)] == ["worker", "web"]


def test_who_one_is_may_be_asked_more_often_than_signed_in(site: Site) -> None:
    with site.client() as client:
        assert {client.get("/session").status_code for _ in range(50)} == {401}
        wrong = {"name": "nobody", "password": "wrong", "code": "000000"}
        answers = [client.post("/session", json=wrong, headers={"Origin": site.front.url}) for _ in range(50)]
        assert answers[-1].status_code == 429
        assert answers[-1].json()["problem"] == "Too many requests from this address"


def _upload(
    site: Site, path: Path, halfway: threading.Event, go_on: threading.Event, answered: Counter[object]
) -> None:
    """Send half of a case, wait, and send the rest."""
    content = path.read_bytes()
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="b.zip"\r\n\r\n'
    body = head + content + b"\r\n--b--\r\n"

    def pieces() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        halfway.set()
        go_on.wait()
        yield body[len(body) // 2 :]

    with suppress(httpx.HTTPError), site.client("lena") as client:
        kind = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(len(body))}
        answered["upload"] = client.post("/predict", content=pieces(), headers=kind).status_code
