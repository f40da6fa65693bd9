"""An intruder: tries calls on every port of a coordinator and tells what came of each. Uses the standard library alone.

`python -m tests.fl_server.intruder` reads a plan from its standard input and prints the outcomes, both JSON; so it can
run in a network namespace of its own. Paths are sent as they are: most libraries would mend those that matter here.
"""

import http.client
import json
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

NO_CONNECTION = "no connection"


@dataclass(frozen=True)
class Call:
    """One request as it is sent: method, target and headers beside Host."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Attempt:
    """What came of a call: a status with the answer's body, or why there was none."""

    fault: str
    port: int
    call: Call
    status: int
    text: str


@dataclass(frozen=True)
class Shown:
    """What an intruder has: a fault and perhaps a certificate with its key."""

    fault: str
    certificate: str = ""
    key: str = ""


def tricks(target: str, site: str) -> list[Call]:
    """Ways to reach a call that is not to be reached, past a server that looks at paths, methods or headers.

    Args:
        target: the call, `/v1/control/...`.
        site: the serial number of a certificate that is let in.
    """
    rest = target.removeprefix("/v1/")
    paths = [
        f"/v1/fleet/../{rest}",
        f"/v1/fleet/%2e%2e/{rest}",
        f"/v1/fleet/.%2e/{rest}",
        f"/v1/fleet%2f..%2f{rest}",
        f"/v1/fleet/..%2f{rest.replace('/', '%2f')}",
        f"/v1/fleet/..;/{rest}",
        f"/v1/fleet/..\\{rest}",
        f"/v1/fleet/%252e%252e/{rest}",
        f"/v1/fleet/pull-messages/../../{rest}",
        f"/v1/fleet//../{rest}",
        f"/v1/fleet/./../{rest}",
        f"/{target}",
        f"/v1//{rest}",
        f"/./{target}",
        target.upper(),
        f"{target}/",
        f"{target}?/v1/site/ca.crt",
        f"{target}%00/v1/fleet/pull-messages",
        f"{target}#/v1/fleet/pull-messages",
        f"https://127.0.0.1{target}",
        f"/v1/site/../{rest}",
        f"/v1/site/enroll/../../{rest}",
        f"/v1/site/ca.crt/../../{rest}",
        "/v1/site/ca.crt/../ca.key",
        "/v1/site/ca.crt../ca.key",
        "/v1/site/../../etc/passwd",
        "/v1/fleet/pull-messages/",
        "/v1/fleet/pull-messages;x",
        "/v1/fleet/pull-messages?x=1",
        "//v1/fleet/pull-messages",
        "/v1/fleet/",
        "/v1/fleet",
        "/check",
        "/refused/refused",
        "/refused/plain",
        "/",
        "*",
    ]
    fleet = "/v1/fleet/pull-messages"
    methods = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "BREW"]
    who = {"X-Client-Verify": "SUCCESS", "X-Client-Serial": site}
    headers: list[dict[str, str]] = [
        who,
        {"X_Client_Verify": "SUCCESS", "X_Client_Serial": site},
        {"X-Site": "north"},
        {"X-Original-URI": "/v1/site/ca.crt", "X-Original-Method": "GET"},
        {"X-Real-IP": "127.0.0.1", "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"},
        {"X-HTTP-Method-Override": "GET", "X-Rewrite-URL": "/v1/site/ca.crt", "X-Accel-Redirect": "/check"},
        {"Host": "localhost"},
        {"Host": "127.0.0.1:9092"},
        {"Host": "site_api"},
        {"Host": "unix:/run/site-api.sock"},
        {"Connection": "X-Client-Verify, X-Client-Serial"} | who,
        {"Transfer-Encoding": "chunked"},
        {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings"},
        {"Expect": "something"},
    ]
    return [
        *(Call("POST", path) for path in paths),
        *(Call(method, fleet) for method in methods),
        *(Call("POST", fleet, header) for header in headers),
        *(Call("GET", "/v1/site/protocol", header) for header in headers),
    ]


def attempts(host: str, ports: Iterable[int], edge: int, ca: str, shown: Shown, calls: list[Call]) -> list[Attempt]:
    """Try every call on every port.

    Args:
        host: the coordinator's address.
        ports: every port that it listens on.
        edge: which of them has the name in the certificate; the others are tried without looking at a name.
        ca: path of the federation's CA certificate.
        shown: what the intruder has.
        calls: what it tries.
    """
    outcomes = []
    for port in ports:
        context = ssl.create_default_context(cafile=ca)
        context.check_hostname = port == edge
        if shown.certificate:
            context.load_cert_chain(shown.certificate, shown.key)
        connection = http.client.HTTPSConnection(host, port, timeout=20, context=context)
        outcomes += [Attempt(shown.fault, port, call, *_try(connection, call)) for call in calls]
        connection.close()
    return outcomes


def _try(connection: http.client.HTTPSConnection, call: Call) -> tuple[int, str]:
    try:
        connection.putrequest(call.method, call.target, skip_host="Host" in call.headers, skip_accept_encoding=True)
        for name, value in call.headers.items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(call.body)))
        connection.putheader("Content-Type", "application/json" if call.body else "application/protobuf")
        connection.endheaders(call.body.encode())
        answer = connection.getresponse()
        return answer.status, answer.read(20_000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        kind = NO_CONNECTION if isinstance(error, ConnectionRefusedError | socket.timeout) else type(error).__name__
        return 0, kind


def table_of(outcomes: Iterable[Attempt]) -> str:
    """Return outcomes as a Markdown table: what the intruder had, where it knocked, how often, and what came of it."""
    rows: Counter[tuple[str, int, str]] = Counter()
    for outcome in outcomes:
        try:
            came = str(json.loads(outcome.text)["problem"])
        except (ValueError, KeyError, TypeError):
            is_certificate = outcome.text.startswith("-----BEGIN CERTIFICATE")
            came = "the public CA certificate" if is_certificate else outcome.text[:60] or "(no text: HEAD)"
        rows[outcome.fault, outcome.port, f"{outcome.status} {came}" if outcome.status else came] += 1
    lines = ["| what the intruder has | port | calls | outcome |", "| --- | --- | --- | --- |"]
    return "\n".join(
        lines + [f"| {fault} | {port} | {count} | {came} |" for (fault, port, came), count in rows.items()]
    )


def main() -> None:
    """Do what the plan says."""
    plan = json.load(sys.stdin)
    calls = [Call(**call) for call in plan["calls"]]
    outcomes: list[Attempt] = []
    for shown in plan["shown"]:
        outcomes += attempts(plan["host"], plan["ports"], plan["edge"], plan["ca"], Shown(**shown), calls)
    json.dump([asdict(outcome) for outcome in outcomes], sys.stdout)


if __name__ == "__main__":
    main()
