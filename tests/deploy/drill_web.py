"""The drill's steps at the web's edge: certificates, a clinician's browser, renewal and reload under load, its TLS."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from simulations.local import wait_for
from tests.deploy.factories_drill import CURRENT, DATA, ROOT, WEB, Drill
from tests.deploy.factories_site import asking
from tests.deploy.factories_tls import scan, served
from tests.webapp.factories import PASSWORD, a_patient

FRONTEND = ROOT / "webapp" / "frontend"
USERS = {"anna": "clinician", "otto": "auditor", "ada": "administrator"}
NORTH = WEB["north"]
CODES = "UPDATE users SET totp_step = 0, failures = 0, locked_until = NULL"
SITE = "/etc/nginx/conf.d/gliofed.conf"


def certificates(drill: Drill) -> None:
    """From the authority, by Certbot and install.sh's settings, for every machine with pages of its own."""
    drill.step("certificates by Certbot from an ACME authority", lambda: issued(drill))


def issued(drill: Drill) -> str:
    for name in drill.with_names:
        machine = drill.machines[name]
        machine.write("/usr/local/share/ca-certificates/authority.crt", drill.authority.trusted.read_text())
        machine.run("update-ca-certificates")
        machine.run(
            f"{CURRENT}/deploy/certbot/issue.sh", WEB[name], "it@hospital.test", "--server", drill.authority.directory
        )
        wait_for(lambda name=name: trusted(drill, name), f"{name}'s Nginx to have it")
        machine.sync()
    return f"{', '.join(drill.with_names)}: chain, name and time verified"


def trusted(drill: Drill, name: str) -> bool:
    try:
        return drill.client(name).get("/session/ways").status_code == 200
    except httpx.TransportError:
        return False


def predict(drill: Drill) -> None:
    """A clinician at north, and the auditor who sees it."""
    drill.step("first users", lambda: users(drill))
    drill.step(
        "a prediction over HTTPS in a browser: folder dropped, answer, voxels, opinion, auditor", lambda: walked(drill)
    )


def users(drill: Drill) -> str:
    secrets = {}
    for name, role in USERS.items():
        argv = ["fl-web", "create-user", name, "--role", role, "--data", DATA, "--json"]
        made = json.loads(drill.machines["north"].run(*argv, input=f"{PASSWORD}\n").stdout)
        secrets[name] = parse_qs(urlsplit(made["totp_uri"]).query)["secret"][0]
    stage = {
        "url": f"https://{NORTH}",
        "folder": str(drill.folder / "scans"),
        "users": {name: {"role": USERS[name], "password": PASSWORD, "secret": secrets[name]} for name in USERS},
        "trusted": True,
        "withheld": True,  # two validation patients vouch for nothing
    }
    (drill.folder / "stage.json").write_text(
        json.dumps({"hospital": stage, "coordinator": stage, "pictures": str(drill.folder / "pictures")})
    )
    return ", ".join(f"{name} ({role})" for name, role in USERS.items())


def walked(drill: Drill) -> str:
    a_patient(drill.folder / "scans" / "patient" / "MRN-4711")
    trust(drill.authority.root)
    environment = {**os.environ, "GLIOFED_STAGE": str(drill.folder / "stage.json")}
    node = ["node", "journeys/predict.ts"]
    both_ways = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(node, cwd=FRONTEND, env=environment, **both_ways) as walking:
        said = []
        assert walking.stdin
        for line in walking.stdout or ():
            if line.startswith("@ "):  # a code that was used; a person would wait half a minute for the next
                assert json.loads(line[2:])[1] == "forget-code", line
                drill.sql("north", CODES)
                walking.stdin.write("done\n")
                walking.stdin.flush()
            else:
                said.append(line)
    assert walking.returncode == 0, "".join(said)
    return f"answered; {drill.sql('north', 'SELECT COUNT(*) FROM audit_events').strip()} events"


def trust(root: Path) -> None:
    """Let Chromium trust an authority by its administrator's policy, in this mount namespace alone."""
    policies = Path("/etc/chromium/policies/managed")
    policies.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--types=tmpfs", "tmpfs", policies], check=True)
    certificate = x509.load_pem_x509_certificate(root.read_bytes())
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    (policies / "authority.json").write_text(json.dumps({"CACertificates": [der]}))


def load(drill: Drill) -> None:
    """While clients ask all the time, each over a new line."""
    drill.step("certificate renewed under load", lambda: under_load(drill, renewed))
    drill.step("Gunicorn reloaded three times under load", lambda: under_load(drill, reloaded))
    drill.step(
        "coordinator's certificate renewed and pages reloaded under load", lambda: under_load(drill, both, "coord")
    )


def under_load(drill: Drill, do: Callable[[Drill, str], None], name: str = "north") -> str:
    context = httpx.create_ssl_context(verify=str(drill.authority.root))

    def ask() -> int:
        time.sleep(0.2)  # one address may ask 1200 times a minute
        return httpx.get(f"https://{WEB[name]}/session/ways", verify=context, timeout=120).status_code

    with asking([ask] * 3) as answered:
        do(drill, name)
        so_far = answered[200]
        wait_for(lambda: answered[200] > so_far + 20, "20 more answers")
    assert set(answered) == {200}, answered
    return f"{answered[200]} requests, none failed"


def renewed(drill: Drill, name: str) -> None:
    before = served(WEB[name])
    drill.machines[name].run("certbot", "renew", "-q", "--force-renewal", "--no-random-sleep-on-renew")
    wait_for(lambda: served(WEB[name]).serial_number != before.serial_number, "the new certificate")


def reloaded(drill: Drill, name: str) -> None:
    for _ in range(3):
        before = serving(drill, name)
        drill.machines[name].run("systemctl", "reload", "gliofed-web")
        wait_for(
            lambda before=before: not serving(drill, name) & before and serving(drill, name), "new processes alone"
        )


def both(drill: Drill, name: str) -> None:
    renewed(drill, name)
    reloaded(drill, name)


def serving(drill: Drill, name: str) -> set[str]:
    """The processes that answer requests: Gunicorn's children."""
    children = "pgrep --parent $(pgrep --oldest --full gunicorn)"
    return set(drill.machines[name].run("sh", "-c", children, check=False).stdout.split())


def tls(drill: Drill) -> None:
    """Compared with Mozilla's intermediate, and what the comparison would find."""
    drill.step("TLS of the pages scanned, with a weak cipher as control", lambda: scanned(drill))


def scanned(drill: Drill) -> str:
    north = drill.machines["north"]
    for name in drill.with_names:
        assert scan(WEB[name], 443, WEB[name]) == set(), name
    strong = north.read(SITE)
    north.write(SITE, strong.replace("ssl_ciphers ", "ssl_ciphers ECDHE-ECDSA-AES128-SHA:"))
    north.run("systemctl", "reload", "nginx")
    found = wait_for(lambda: scan(NORTH, 443, NORTH), "the scan to find the weak cipher", 60)
    north.write(SITE, strong)
    north.run("systemctl", "reload", "nginx")
    wait_for(lambda: scan(NORTH, 443, NORTH) == set(), "the weak cipher to be gone", 60)
    assert found == {"ciphers"}
    return "as Mozilla's intermediate; the control is found"
