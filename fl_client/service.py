"""The site's service: `python -m fl_client.service PORT`, the gate on loopback and the agent, in one process."""

import asyncio
import logging
import os
import signal
import sys

from core.files import private_folder
from core.terminal import run
from fl_client.agent import Agent, attend
from fl_client.config import load_site
from fl_client.gate import GateSettings, serve
from fl_client.paths import SiteHome, this_home
from fl_client.supernode import bell, silence
from fl_client.traffic import Traffic


async def serve_site(home: SiteHome, port: int) -> None:
    """Let SuperNode's calls through and speak with the coordinator, until told to stop by SIGTERM.

    Args:
        home: the site's.
        port: on loopback, where the gate listens.
    Raises:
        ConfigError: settings or certificates cannot be used.
        RecordsError: the site's database cannot be used.
    """
    site = load_site(home)
    private_folder(home.run)
    traffic = Traffic()
    settings = GateSettings(
        coordinator=site.coordinator.address,
        proxy=site.proxy.url,
        pki=home.certificate.parent,
        port=port,
        silence=silence(home),
        bell=bell(home),
        node=home.run / "node.id",
    )
    agent = Agent(site, home, traffic)
    both = asyncio.gather(serve(settings, traffic, agent.records), attend(agent))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, both.cancel)
    try:
        await both
    except asyncio.CancelledError:
        # A call that is under way could take a minute more; nothing is lost by cutting it.
        logging.shutdown()
        os._exit(0)


def main() -> None:
    """Run the service of the home that FL_HOME names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    run(lambda: asyncio.run(serve_site(this_home(), int(sys.argv[1]))))


if __name__ == "__main__":
    main()
