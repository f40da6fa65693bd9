"""Uploads and requests that mean harm: each gets a clear refusal, leaves no file, and the next one is served."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from tests.webapp.factories import Browser, Server, a_config, a_home, a_patient, a_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("web")
    limits = {"upload_mb": 3, "files": 40, "drafts": 3, "queue": 2}
    return a_server(a_config(folder, "", a_home(folder / "home"), limits=limits))


@pytest.fixture(scope="module")
def anna(server: Server) -> Browser:
    return server.browser("anna")


def a_zip(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def a_link() -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        link = zipfile.ZipInfo("T1w/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    return held.getvalue()


def a_form(*files: tuple[str, bytes], boundary: str = "xx") -> tuple[bytes, str]:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def refused(server: Server, answer: TestResponse, status: int) -> str:
    """Check that an answer is a clear refusal that left nothing behind, and return its problem."""
    assert answer.status_code == status, answer.text
    assert set(answer.json) == {"problem", "fix"}
    assert all(answer.json.values())
    assert "Traceback" not in answer.text
    assert not list(server.config.files.iterdir())
    assert not list(server.config.site.scratch.iterdir())
    problem: str = answer.json["problem"]
    return problem


ZIPS = {
    "no zip": (b"PK\x03\x04 and then nothing", 422, "damaged"),
    "a bomb": (a_zip(**{"T1w/a.dcm": bytes(400_000_000)}), 422, "unpacks to more"),
    "a path out": (a_zip(**{"../../etc/cron.d/x": b"x"}), 422, "lead out"),
    "an absolute path": (a_zip(**{"/etc/x": b"x"}), 422, "lead out"),
    "a link": (a_link(), 422, "link or a device"),
    "a zip in a zip": (a_zip(**{"a.zip": a_zip(x=b"x")}), 422, "another archive"),
    "nothing in it": (a_zip(), 422, "no files"),
    "no scans": (a_zip(readme=b"hello"), 422, "None of the 1 files"),
    "empty": (b"", 422, "no files"),
}


@pytest.mark.parametrize("kind", sorted(ZIPS))
def test_a_harmful_zip_is_refused(server: Server, anna: Browser, kind: str) -> None:
    content, status, says = ZIPS[kind]
    answer = anna.post("/predict", data=content, content_type="application/zip")
    problem = refused(server, answer, status)
    if kind != "nothing in it":
        assert says in problem


FORMS = {
    "a path out": ([("../../x.dcm", b"x")], 422),
    "an absolute path": ([("/etc/passwd", b"x")], 422),
    "a file and a folder of one name": ([("a", b"x"), ("a/b", b"y")], 422),
    "one name twice": ([("a.dcm", b"x"), ("a.dcm", b"y")], 422),
    "too many files": ([(f"{n}.dcm", b"x") for n in range(41)], 413),
    "too large": ([("a.dcm", bytes(3_100_000))], 413),
    "not a scan": ([("a.dcm", b"MZ\x90\x00" + bytes(500))], 422),
    "huge rows in a tiny file": ([("a.dcm", bytes(128) + b"DICM" + b"\x28\x00\x10\x00US\x02\x00\xff\xff")], 422),
    "a broken nifti": ([("T1w.nii.gz", b"\x1f\x8b" + bytes(100))], None),
}


@pytest.mark.parametrize("kind", sorted(FORMS))
def test_a_harmful_form_is_refused(server: Server, anna: Browser, kind: str) -> None:
    files, status = FORMS[kind]
    body, content_type = a_form(*files)
    answer = anna.post("/predict", data=body, content_type=content_type)
    if status is None:  # a draft that says what is wrong with its one file
        assert answer.json["draft"]["series"][0]["wrong"]
        assert anna.delete(f"/predict/{answer.json['id']}").status_code == 204
        return
    refused(server, answer, status)


def test_a_form_that_is_cut_short_or_none_is_refused(server: Server, anna: Browser) -> None:
    body, content_type = a_form(("a.dcm", bytes(1000)))
    refused(server, anna.post("/predict", data=body[:-40], content_type=content_type), 400)
    refused(server, anna.post("/predict", data=b"x", content_type="multipart/form-data"), 400)
    refused(server, anna.post("/predict", data=b"{}", content_type="application/json"), 415)
    refused(server, anna.post("/predict", data=b"x", content_type="text/html"), 415)


def test_a_body_that_is_no_upload_stays_small(server: Server, anna: Browser) -> None:
    answer = anna.post("/log", data=json.dumps({"x": "y" * 300_000}), content_type="application/json")
    refused(server, answer, 413)
    refused(server, anna.post("/log", data="{", content_type="application/json"), 400)
    refused(server, anna.post("/log", json=[1]), 422)
    assert "surprise" in refused(server, anna.post("/log", json={"surprise": 1}), 422)


def test_too_many_drafts_and_a_full_queue_are_429_with_the_time_to_wait(server: Server, tmp_path: Path) -> None:
    ben = server.browser("ben")
    folder = a_patient(tmp_path / "p")
    for path in sorted(folder.rglob("*.dcm"))[40:]:  # a few slices are enough for a draft
        path.unlink()
    made = [ben.upload(folder).json["id"] for _ in range(3)]
    answer = ben.upload(folder)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    for identifier in made:
        ben.delete(f"/predict/{identifier}")


@pytest.mark.parametrize(
    "path",
    [
        "/predict/' OR 1=1 --",
        "/predict/" + "a" * 3000,
        "/predict/%00",
        "/predict/../../etc/passwd",
        "/app/../../etc/passwd",
        "/app/%2e%2e/%2e%2e/etc/passwd",
        "/predict/x/thumbnails/../../../keys",
        "/predict?state=' OR 1=1",
        "/predict?cursor=2026-01-01T00:00:00.000000Z_' OR 1=1",
        "/no/such/page",
    ],
)
def test_a_tricky_address_is_refused(server: Server, anna: Browser, path: str) -> None:
    answer = anna.get(path)
    assert answer.status_code in (404, 422, 400, 308), answer.text
    assert "root:" not in answer.text
    assert set(answer.json) == {"problem", "fix"}


def test_a_line_break_in_a_header_or_name_changes_no_answer(server: Server, anna: Browser) -> None:
    body, content_type = a_form(("a%0d%0aSet-Cookie: x=y.dcm", b"x"))
    answer = anna.post("/predict", data=body, content_type=content_type)
    assert "x=y" not in str(answer.headers)
    said = anna.post("/patients/find", json={"record_number": "x\r\nSet-Cookie: a=b"})
    assert said.status_code in (404, 422)
    assert "a=b" not in str(said.headers)


def test_every_answer_has_the_security_headers_and_no_wrong_host_is_answered(server: Server, anna: Browser) -> None:
    for path in ("/healthz", "/predict", "/no/such", "/log"):
        headers = anna.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Strict-Transport-Security"].startswith("max-age=")
        assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers
    answer = server.app.test_client().get("/healthz", base_url="https://evil.example")
    assert (answer.status_code, set(answer.json)) == (400, {"problem", "fix"})


def test_another_site_may_not_read_unless_it_is_listed(tmp_path: Path) -> None:
    config = a_config(tmp_path, server={"origins": ("https://portal.hospital.example",)})
    client = a_server(config, {}).app.test_client()
    for origin, allowed in (("https://portal.hospital.example", True), ("https://evil.example", False)):
        answer = client.get("/healthz", base_url="https://localhost", headers={"Origin": origin})
        assert (answer.headers.get("Access-Control-Allow-Origin") == origin) is allowed


def test_a_method_that_is_not_there_says_which_are(anna: Browser) -> None:
    answer = anna._open("/session", "PUT")
    assert answer.status_code == 405
    assert {"GET", "POST", "DELETE"} <= set(answer.headers["Allow"].split(", "))


def test_a_bug_shows_no_trace_and_repeats_nothing(
    server: Server, anna: Browser, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from webapp.resources import predict

    def break_down(*_: object) -> None:
        raise ZeroDivisionError("Meier, Erika")

    monkeypatch.setattr(predict, "row_for", break_down)
    answer = anna.get("/predict/" + "0" * 32)
    assert answer.status_code == 500
    assert set(answer.json) == {"problem", "fix"}
    assert "Meier" not in answer.text + caplog.text
