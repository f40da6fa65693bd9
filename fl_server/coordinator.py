"""What a coordinator's commands do, apart from how they are typed and told."""

import sys
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import SecretStr
from sqlalchemy import Engine, func, select

from core.config import load_config
from core.cost import load_prices
from core.errors import ConfigError, FederationError
from core.files import private_folder, write_private
from core.invitation import invitation_text, split_address
from core.progress import Report
from core.records import audit
from core.records.audit import Verified
from core.records.db import open_database, reading, transaction
from core.records.receipts import heads_of_site
from core.records.tables import Certificate, Site
from core.signing import load_key, load_public, make_key
from core.study import Study
from core.supervision import Process, Supervisor
from fl_server import fleet, sites
from fl_server.approval import decide
from fl_server.config import CoordinatorSettings, DatabaseSettings, ServerConfig, database_url, server_config_path
from fl_server.edge import check_edge, edge_process, write_edge
from fl_server.enrollment import invite as enrollment_invite
from fl_server.launch import ACTOR, launch
from fl_server.provisioning import authority_fingerprint, load_authority, make_authority, renew_own
from fl_server.superlink import flower_environment, superexec_process, superlink_process, write_flower


def settings_for(address: str, listen: str, database: str) -> ServerConfig:
    """Return a new coordinator's settings.

    Args:
        address: where hospitals reach the coordinator.
        listen: where Nginx listens; empty: at the address itself.
        database: its URL; empty: SQLite in the home.
    Raises: ConfigError: an address is none.
    """
    for place in (address, listen or address):
        split_address(place)
    return ServerConfig(
        coordinator=CoordinatorSettings(address=address, listen=listen),
        database=DatabaseSettings(url=SecretStr(database)),
    )


def initialize(home: Path, settings: ServerConfig, passphrase: str) -> str:
    """Make a federation's home.

    Args:
        home: empty or missing.
        settings: the coordinator's.
        passphrase: encrypts the keys.
    Returns: the CA's fingerprint.
    Raises:
        ConfigError: there is a federation already.
        RecordsError: the database cannot be used.
    """
    records = open_database(settings.database.address())  # first: what cannot be kept is not begun
    private_folder(home)
    make_authority(home, settings.coordinator.address, passphrase)
    make_key(private_folder(home / "keys") / "signing.key", home / "keys" / "signing.pub", passphrase)
    written = {
        "coordinator": settings.coordinator.model_dump(mode="json"),
        "database": {"url": settings.database.url.get_secret_value()},
    }
    write_private(home / "server.toml", tomli_w.dumps(written))
    with transaction(records) as session:
        audit.append(session, ACTOR, "federation.initialized", ca_sha256=authority_fingerprint(home))
    return authority_fingerprint(home)


def supervisor(home: Path, passphrase: str) -> Supervisor:
    """Return what runs a coordinator, ready to start.

    Raises: FLError: the passphrase is wrong, or something that it needs is missing.
    """
    settings = settings_of()
    authority = load_authority(home, passphrase)
    renew_own(authority, home, settings.coordinator.address)
    load_key(home / "keys" / "signing.key", passphrase)
    open_database(settings.database.address())
    port = settings.coordinator.superlink_port
    write_flower(home, port)
    write_edge(home, settings.coordinator.listens_on, port)
    check_edge(home)
    return Supervisor(
        home,
        [superlink_process(home, port), superexec_process(home, port), _service(home, passphrase), edge_process(home)],
    )


def invite(home: Path, site: str, valid_for: timedelta) -> str:
    """Invite a site and return the invitation as one line."""
    settings, records = settings_of(), records_of(home)
    return invitation_text(
        enrollment_invite(
            records,
            site=site,
            address=settings.coordinator.address,
            ca_sha256=authority_fingerprint(home),
            valid_for=valid_for,
        )
    )


def list_sites(home: Path) -> list[dict[str, Any]]:
    """Return every site as a row."""
    with reading(records_of(home)) as session:
        valid = select(Certificate.site, func.max(Certificate.not_after)).where(Certificate.revoked_at.is_(None))
        until = {site: str(last) for site, last in session.execute(valid.group_by(Certificate.site))}
        return [
            {
                "site": site.name,
                "state": site.state,
                "enrolled": site.enrolled_at,
                "seen": site.seen_at,
                "release": site.release,
                "not_after": until.get(site.name),
            }
            for site in session.scalars(select(Site).order_by(Site.name))
        ]


def revoke(home: Path, site: str) -> None:
    """Shut a site out for good."""
    sites.revoke(records_of(home), site, partial(fleet.unregister_node, home))


def suspend(home: Path, site: str) -> None:
    """Keep a site out until further notice."""
    sites.suspend(records_of(home), site)


def reinstate(home: Path, site: str) -> None:
    """Let a suspended site back in."""
    sites.resume(records_of(home), site)


def launch_study(home: Path, study: Study, wanted: tuple[str, ...], *, over_budget: bool = False) -> dict[str, Any]:
    """Offer a study to sites and enter its run; see `fl_server.launch.Launched`."""
    records, build = records_of(home), partial(fleet.build_bundle, home)
    prices = load_prices(server_config_path())
    return asdict(launch(records, home, study, wanted, build, prices, over_budget=over_budget))


def receipts_of(home: Path, site: str) -> list[str]:
    """Return the heads of a site's audit log that the coordinator's cites, as lines for the site to check."""
    with reading(records_of(home)) as session:
        if session.get(Site, site) is None:
            raise FederationError(f"There is no site {site}", fix="see `fl-server sites`")
        return [str(receipt) for receipt in heads_of_site(session, site)]


def verify_audit(home: Path, report: Report) -> Verified:
    """Check the coordinator's audit log against itself and against its signed heads."""
    records = records_of(home)
    public = load_public(home / "keys" / "signing.pub")
    return audit.verify(records, checkpoints_of(home), public, report)


def approve(home: Path, version: str, passphrase: str) -> None:
    """Sign a model version's approval, and note it in the records."""
    key = load_key(home / "keys" / "signing.key", passphrase)
    decide(records_of(home), home / "registry", version, "approve", key, actor=ACTOR)


def retire(home: Path, version: str, passphrase: str) -> None:
    """Sign a model version's retirement, and note it in the records."""
    key = load_key(home / "keys" / "signing.key", passphrase)
    decide(records_of(home), home / "registry", version, "retire", key, actor=ACTOR)


def checkpoints_of(home: Path) -> Path:
    """Return where the signed heads of the audit log lie."""
    return home / "audit" / "checkpoints.jsonl"


def settings_of() -> ServerConfig:
    """Return the coordinator's settings.

    Raises: ConfigError: this home is no coordinator's, or a setting is wrong.
    """
    if not server_config_path().exists():
        raise _no_home(server_config_path().parent)
    return load_config(ServerConfig, server_config_path())


def records_of(home: Path) -> Engine:
    """Open a home's records: a coordinator's, or those of a federation that was simulated there.

    Raises:
        ConfigError: this home is neither; nothing is made there.
        RecordsError: they cannot be used.
    """
    check_home(home)
    return open_database(database_url())


def check_home(home: Path) -> None:
    """Check that a home is a coordinator's, or one that a federation was simulated in.

    Raises: ConfigError: it is neither.
    """
    if not server_config_path().exists() and not (home / "records.db").exists():
        raise _no_home(home)


def _no_home(home: Path) -> ConfigError:
    return ConfigError(f"{home} is no coordinator's home", fix="run fl-server init, or set FL_HOME")


def _service(home: Path, passphrase: str) -> Process:
    argv = [sys.executable, "-m", "fl_server.service"]
    return Process("service", argv, flower_environment(home), secret=passphrase)
