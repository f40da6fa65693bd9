"""Where everything of a site lies under its home."""

from dataclasses import dataclass
from pathlib import Path

from core.records.home import home


@dataclass(frozen=True)
class SiteHome:
    """A site's home: settings, keys, records, and what its processes share.

    Attributes:
        root: the folder, `$FL_HOME`.
    """

    root: Path

    @property
    def settings(self) -> Path:
        """The site's settings, site.toml."""
        return self.root / "site.toml"

    @property
    def ca(self) -> Path:
        """Certificate of the federation's CA."""
        return self.root / "pki" / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The client certificate; where it lies, the site is enrolled."""
        return self.root / "pki" / "site.crt"

    @property
    def key(self) -> Path:
        """The client certificate's private key."""
        return self.root / "pki" / "site.key"

    @property
    def renew_at(self) -> Path:
        """When the client certificate should be renewed; text of core.clock."""
        return self.root / "pki" / "renew_at.txt"

    @property
    def node_key(self) -> Path:
        """SuperNode's private key."""
        return self.root / "pki" / "node.key"

    @property
    def node_public(self) -> Path:
        """SuperNode's public key."""
        return self.root / "pki" / "node.pub"

    @property
    def coordinator_key(self) -> Path:
        """The public key that signs model versions and the coordinator's audit heads."""
        return self.root / "keys" / "coordinator.pub"

    @property
    def audit_key(self) -> Path:
        """The private key that signs the head of this site's audit log."""
        return self.root / "keys" / "audit.key"

    @property
    def audit_public(self) -> Path:
        """Its public half."""
        return self.root / "keys" / "audit.pub"

    @property
    def patients_key(self) -> Path:
        """The secret behind the pseudonyms in this site's privacy ledger."""
        return self.root / "keys" / "patients.key"

    @property
    def public(self) -> Path:
        """Frozen weights that studies name by their hash."""
        return self.root / "public"

    @property
    def checkpoints(self) -> Path:
        """Signed heads of this site's audit log, kept outside the database."""
        return self.root / "audit" / "checkpoints.jsonl"

    @property
    def records(self) -> str:
        """Address of this site's database."""
        return f"sqlite:///{self.root / 'records.db'}"

    @property
    def run(self) -> Path:
        """Sockets and what processes tell one another."""
        return self.root / "run"

    @property
    def trainer(self) -> Path:
        """The trainer's socket."""
        return self.run / "trainer.sock"

    @property
    def progress(self) -> Path:
        """How far the trainer is."""
        return self.run / "progress.json"

    @property
    def contact(self) -> Path:
        """When the coordinator was reached last."""
        return self.run / "contact.json"

    @property
    def carried(self) -> Path:
        """What each run has brought and taken over the wire."""
        return self.spool / "traffic.json"

    @property
    def logs(self) -> Path:
        """What each process says."""
        return self.root / "logs"

    @property
    def spool(self) -> Path:
        """Answers that were worked out, and what each run has cost."""
        return self.root / "spool"

    @property
    def registry(self) -> Path:
        """Model versions that were pulled."""
        return self.root / "registry"

    @property
    def studies(self) -> Path:
        """Studies that this site was offered, for people to read."""
        return self.root / "studies"


def this_home() -> SiteHome:
    """Return the home that `FL_HOME` names."""
    return SiteHome(home())
