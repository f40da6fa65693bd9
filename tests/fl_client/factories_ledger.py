"""A site's ledger with a key, a signed log and patients of whom only names and pixels are known."""

from pathlib import Path

from core.learning.privacy import PrivacyBudget, Spend
from core.records.db import open_database
from core.records.following import Follower
from core.signing import load_public, make_key
from fl_client.paths import SiteHome
from fl_client.persons import Handles
from fl_client.privacy_ledger import ACTIONS, PatientKey, PrivacyLedger, Request
from fl_client.site_records import SiteRecords

DELTA = 1e-5
# Without sampling, as the exact Gaussian mechanism: noise 10 for 25 steps has an epsilon of 2.0.
ROUND = Spend(10.0, 1.0, 5)


def a_home(folder: Path) -> SiteHome:
    home = SiteHome(folder)
    make_key(home.audit_key, home.audit_public)
    return home


def a_ledger(home: SiteHome) -> PrivacyLedger:
    follower = Follower(open_database(home.records), ACTIONS, home.checkpoints, load_public(home.audit_public))
    return PrivacyLedger(follower, PatientKey(home.patients_key))


def people(ledger: PrivacyLedger, *names: str) -> tuple[Handles, ...]:
    """Patients with a name and one scan each; `a=x` has the pixels of x."""
    pairs = [name.split("=") if "=" in name else (name, name) for name in names]
    return tuple((ledger.key.handle("patient", one), ledger.key.handle("pixels", scan)) for one, scan in pairs)


def a_request(
    patients: tuple[Handles, ...],
    *,
    run: str = "r",
    number: int = 1,
    spend: Spend = ROUND,
    rounds: int = 1,
    of_study: tuple[PrivacyBudget, ...] = (),
    budget: float = 8.0,
) -> Request:
    everything = Spend(spend.noise, spend.sampling_rate, spend.steps * rounds)
    return Request(
        "study", run, number if spend.noise else 0, patients, spend, everything, of_study, PrivacyBudget(budget, DELTA)
    )


def records_of(home: SiteHome) -> SiteRecords:
    return SiteRecords("site-a", home.records)
