"""The coordinator's own process behind Nginx: the site API, and the thread that looks after runs, wishes and the log.

Started by `fl-server start`, which hands it the passphrase on standard input.
"""

import logging
import sys
from functools import partial
from pathlib import Path
from threading import Event, Thread

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import Route

from core.errors import FLError
from core.records import registry
from core.records.audit import sign_head
from core.records.db import open_database
from core.records.home import home
from core.signing import load_key, public_text
from core.supervision import end_process
from core.terminal import run
from fl_server import fleet
from fl_server.approval import fulfill_wishes
from fl_server.conductor import Conductor
from fl_server.config import database_url
from fl_server.coordinator import checkpoints_of, settings_of
from fl_server.edge import reload_edge
from fl_server.enrollment import Federation
from fl_server.provisioning import Authority, load_authority, renew_own
from fl_server.site_api import make_app, serve
from fl_server.site_routes import site_routes
from fl_server.sites import forget_nodes

logger = logging.getLogger(__name__)

LOOK_S = 0.5
SIGN_EVERY = 60  # looks


def run_service(passphrase: str) -> None:
    """Serve sites until told to stop."""
    here = home()
    records = open_database(database_url())
    authority = load_authority(here, passphrase)
    key = load_key(here / "keys" / "signing.key", passphrase)
    federation = Federation(
        records=records,
        authority=authority,
        coordinator_key=public_text(key.public_key()),
        register=partial(fleet.register_node, here),
        unregister=partial(fleet.unregister_node, here),
    )
    done = Event()
    keeper = Thread(target=look_after, args=(records, here, authority, key, done), name="keeper")
    keeper.start()
    try:
        serve(make_app(federation, _routes(here, key)), here / "run" / "site-api.sock")
    finally:
        done.set()
        keeper.join()


def look_after(records: Engine, here: Path, authority: Authority, key: Ed25519PrivateKey, done: Event) -> None:
    """Look after runs, wishes, certificates and the log until `done` is set; a failure waits for the next look."""
    conductor = Conductor(records, here / "studies", partial(fleet.start_run, here), partial(fleet.stop_run, here))
    looks = 0
    while not done.wait(LOOK_S):
        try:
            conductor.look()
            fulfill_wishes(records, here / "registry", key)
            if looks % SIGN_EVERY == 0:
                sign_head(records, key, checkpoints_of(here))
                forget_nodes(records, partial(fleet.unregister_node, here))
                renewed = renew_own(authority, here, settings_of().coordinator.address)
                if "server" in renewed:
                    reload_edge(here)
                if "superlink" in renewed:
                    end_process(here, "superlink")  # it reads its certificate only as it starts; runs outlive that
        except (FLError, SQLAlchemyError, OSError):
            logger.exception("Looking after runs and the log failed; the next look is soon")
        looks += 1
    sign_head(records, key, checkpoints_of(here))


def _routes(here: Path, key: Ed25519PrivateKey) -> list[Route]:
    folder = here / "registry"
    trusted = key.public_key()
    return site_routes(
        folder,
        partial(registry.approved_versions, folder, trusted),
        partial(registry.retired_versions, folder, trusted),
    )


def main() -> None:
    """Run the service."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    run(partial(run_service, sys.stdin.read()))


if __name__ == "__main__":
    main()
