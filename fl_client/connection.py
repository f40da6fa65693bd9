"""HTTPS to the coordinator: mutual TLS under the federation's own CA, a proxy where there is one, failures in words.

No variable of the process decides anything here: the way out is what site.toml says.
"""

import errno
import hashlib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from pydantic import ValidationError

from core.errors import AccessError, ConfigError, ConnectionProblem, FLError, RegistryError
from core.invitation import split_address
from core.site_protocol import PREFIX, Refusal
from fl_client.config import SiteConfig
from fl_client.paths import SiteHome

CONNECT_S = 10.0
ANSWER_S = 60.0
LONGEST_TOLD = 500
CLOCK = "compare this machine's clock with the right time (`timedatectl`), set it where it is wrong"
# OpenSSL's numbers of what speaks against a certificate.
_EXPIRED, _NOT_YET, _OTHER_HOST, _OTHER_IP = 10, 9, 62, 64


def open_connection(site: SiteConfig, home: SiteHome) -> httpx.Client:
    """Return a connection to this site's coordinator, on which this site shows its certificate.

    Raises: ConfigError: site.toml names no coordinator, or this site is not enrolled.
    """
    if not site.coordinator.address:
        raise ConfigError(
            "site.toml names no coordinator", fix="run `fl-client join INVITE`, or write [coordinator] address"
        )
    context = trusting(home.ca)
    try:
        context.load_cert_chain(home.certificate, home.key)
    except FileNotFoundError:
        raise ConfigError("This site is not enrolled", fix="run `fl-client join INVITE`") from None
    except (OSError, ssl.SSLError):
        raise ConfigError(
            f"{home.certificate} and its key cannot be used", fix="restore both from a backup, or join again"
        ) from None
    return client_for(site.coordinator.address, site.proxy.url, context)


def trusting(ca: Path | str) -> ssl.SSLContext:
    """Return a TLS context that trusts one CA and nothing else.

    Args:
        ca: its certificate: a file, or PEM text.
    Raises: ConfigError: there is none.
    """
    try:
        text = ca if isinstance(ca, str) else ca.read_text("ascii")
        context = ssl.create_default_context(cadata=text)
    except (OSError, ValueError, ssl.SSLError):
        raise ConfigError("The federation's CA certificate is missing", fix="run `fl-client join INVITE`") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def client_for(address: str, proxy: str, context: ssl.SSLContext) -> httpx.Client:
    """Return a connection to an address, through a proxy where one is named.

    Raises: ConfigError: the address or the proxy's URL is not one.
    """
    try:
        through = httpx.Proxy(proxy) if proxy else None
    except ValueError:
        raise ConfigError("proxy.url is not a proxy's address", fix="write http://host:port") from None
    return httpx.Client(
        base_url=f"https://{host_and_port(address)}{PREFIX}/",
        verify=context,
        proxy=through,
        trust_env=False,
        timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=4, keepalive_expiry=30),
    )


def host_and_port(address: str) -> str:
    """Return an address with its port, as a URL has it."""
    host, port = split_address(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def fetch_ca(address: str, proxy: str, ca_sha256: str) -> str:
    """Fetch the federation's CA certificate and return it as PEM, if it is the one that was invited to.

    Args:
        address, proxy: as in `client_for`.
        ca_sha256: fingerprint from the invitation, which came another way.
    Raises: ConnectionProblem: the coordinator cannot be reached, or shows another CA.
    """
    blind = ssl.create_default_context()
    # Nothing is known yet to check the server by; what it sends is believed for its fingerprint alone.
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with client_for(address, proxy, blind) as client:
        pem = call(client, "GET", "ca.crt").text
    try:
        found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem.strip())).hexdigest()
    except ValueError:
        found = ""
    if found != ca_sha256:
        raise ConnectionProblem(
            f"{host_and_port(address)} shows another CA than the invitation names",
            fix="make sure that the invitation is this coordinator's, and that no proxy on the way replaces "
            "certificates; nothing was sent",
        )
    return pem


def call(client: httpx.Client, method: str, path: str, **content: object) -> httpx.Response:
    """Make one call and return the answer.

    Args:
        client: of `client_for`.
        method, path: of core.site_protocol.
        content: httpx's `json`, `content`, `params` or `timeout`.
    Raises:
        AccessError: the coordinator refuses, in its own words.
        RegistryError: it has no such thing.
        ConnectionProblem: it cannot be reached, or answers what was not agreed.
    """
    with explained(client):
        answer = client.request(method, path, **content)  # type: ignore[arg-type]
    if answer.is_success:
        return answer
    raise refusal_of(answer)


def refusal_of(answer: httpx.Response) -> FLError:
    """Return why the coordinator, or something on the way to it, did not do what was asked."""
    try:
        told = Refusal.model_validate_json(answer.content)
    except ValidationError:
        return _from_elsewhere(answer.status_code)
    kind = {401: AccessError, 403: AccessError, 404: RegistryError}.get(answer.status_code, ConnectionProblem)
    return kind(_one_line(told.problem), fix=_one_line(told.fix))


@contextmanager
def explained(client: httpx.Client) -> Iterator[None]:
    """Turn what a network does wrong into a ConnectionProblem that names it."""
    try:
        yield
    except httpx.TransportError as error:
        raise _problem(error, client.base_url) from None


def _problem(error: httpx.TransportError, url: httpx.URL) -> ConnectionProblem:
    there = f"{url.host}:{url.port or 443}"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _distrusted(cause, there)
        if isinstance(cause, ssl.SSLError):
            return _tls_failed(cause, there)
        if isinstance(cause, socket.gaierror):
            return ConnectionProblem(
                f"A name on the way to {there} is not resolved",
                fix="check coordinator.address and proxy.url in site.toml, and this machine's DNS",
            )
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionProblem(
                f"The connection to {there} is refused",
                fix="ask the coordinator whether it runs; where only a proxy may go out, set proxy.url in site.toml",
            )
        if isinstance(cause, OSError) and cause.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            return ConnectionProblem(
                f"There is no way to {there}", fix="check this machine's network, or set proxy.url in site.toml"
            )
    return _cut(error, there)


def _cut(error: httpx.TransportError, there: str) -> ConnectionProblem:
    if isinstance(error, httpx.ProxyError):
        status = re.search(r"\b[45]\d\d\b", str(error))
        told = f" (HTTP {status[0]})" if status else ""
        return ConnectionProblem(
            f"The proxy does not let {there} through{told}",
            fix="ask the network's people to allow it, and check proxy.url in site.toml, its account included",
        )
    if isinstance(error, httpx.ConnectTimeout):
        return ConnectionProblem(
            f"{there} does not answer within {CONNECT_S:g} seconds",
            fix="ask the network's people to allow outgoing TCP to it, or set proxy.url in site.toml",
        )
    if isinstance(error, httpx.TimeoutException):
        return ConnectionProblem(f"{there} took too long to answer", fix="try again; ask the coordinator if it stays")
    return ConnectionProblem(
        f"The connection to {there} was cut ({type(error).__name__})",
        fix="try again; if it stays, something on the way may cut long or encrypted connections",
    )


def _distrusted(error: ssl.SSLCertVerificationError, there: str) -> ConnectionProblem:
    if error.verify_code == _EXPIRED:
        return ConnectionProblem(
            f"The certificate of {there} has expired, by this machine's clock",
            fix=f"{CLOCK}; else ask the coordinator to renew it",
        )
    if error.verify_code == _NOT_YET:
        return ConnectionProblem(f"The certificate of {there} is not valid yet, by this machine's clock", fix=CLOCK)
    if error.verify_code in (_OTHER_HOST, _OTHER_IP):
        return ConnectionProblem(
            f"The certificate of {there} is for another name",
            fix="write coordinator.address in site.toml as the invitation has it",
        )
    return ConnectionProblem(
        f"The certificate of {there} is not of the federation's CA",
        fix="a proxy on the way may replace certificates: ask the network's people to let this address pass",
    )


def _tls_failed(error: ssl.SSLError, there: str) -> ConnectionProblem:
    if "ALERT" in (error.reason or ""):
        return ConnectionProblem(
            f"{there} does not take this site's certificate ({error.reason})", fix="ask the coordinator, or join again"
        )
    return ConnectionProblem(
        f"{there} does not speak TLS as agreed ({error.reason or 'no reason given'})",
        fix="check coordinator.address in site.toml, its port above all",
    )


def _from_elsewhere(status: int) -> ConnectionProblem:
    if status in (502, 503, 504):
        return ConnectionProblem(
            f"The coordinator's service does not answer (HTTP {status})",
            fix="try again; ask the coordinator if it stays",
        )
    return ConnectionProblem(
        f"Something answered HTTP {status} in words that are not the coordinator's",
        fix="check coordinator.address in site.toml; a proxy or firewall on the way may have answered",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, the outermost first."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _one_line(text: str) -> str:
    """Return the other side's words without what could write elsewhere on a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:LONGEST_TOLD]
