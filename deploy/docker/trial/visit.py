"""What a clinician does: sign in with password and code, send a patient's scans, read the answer. visit.py URL."""

import io
import json
import ssl
import sys
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pyotp

VISITOR = Path("/srv/visitor")
SCANS = Path("/srv/scans/train")
WAIT_S = 300
SHOWN = (
    "verdict",
    "tumor_probability",
    "tumor_decision",
    "mgmt_probability",
    "mgmt_interval",
    "mgmt_decision",
    "reasons",
)


def zipped(patient: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(patient.rglob("*.dcm")):
            archive.write(path, path.relative_to(patient))
    return content.getvalue()


def main() -> None:
    trusted = ssl.create_default_context(cafile=VISITOR / "certificate.pem")
    user = json.loads((VISITOR / "user.json").read_text())
    secret = parse_qs(urlsplit(user["totp_uri"]).query)["secret"][0]
    password = (VISITOR / "password").read_text().strip()
    patient = min(SCANS.iterdir())
    with httpx.Client(base_url=sys.argv[1], verify=trusted, timeout=WAIT_S + 30) as client:
        credentials = {"name": user["name"], "password": password, "code": pyotp.TOTP(secret).now()}
        session = client.post("/session", json=credentials).raise_for_status().json()
        answer = client.post(
            "/predict",
            content=zipped(patient),
            headers={
                "Content-Type": "application/zip",
                "Prefer": f"wait={WAIT_S}",
                "X-CSRF-Token": session["csrf"],
                "Origin": sys.argv[1],
            },
        )
    told = answer.json()
    if answer.status_code != httpx.codes.OK:
        sys.exit(f"HTTP {answer.status_code}: {told}")
    print(f"{patient.name} by {told['version']}:")
    for name in SHOWN:
        print(f"  {name}: {told['result'][name]}")


if __name__ == "__main__":
    main()
