"""Studies that the coordinator offers: fetched for people to read, answered by them or by rules that they wrote."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

from core.errors import ConnectionProblem, FederationError
from core.files import write_atomically
from core.public_files import keep_public, path_of
from core.site_protocol import Answer, StudyOffer, json_of
from core.study import study_of
from fl_client.config import PolicySettings
from fl_client.coordinator import Coordinator
from fl_client.known_studies import KnownOffer
from fl_client.paths import SiteHome
from fl_client.policy import reasons_against, rules_of
from fl_client.site_records import SiteRecords
from fl_client.study_bundle import files_in

# Of a study.toml inside a bundle, whatever its archive says; a real one has less than 2 kB.
MAX_STUDY_BYTES = 100_000


def fetch_offers(coordinator: Coordinator, records: SiteRecords, home: SiteHome) -> list[str]:
    """Learn what the coordinator offers, and let it know answers that it does not have yet.

    Args:
        coordinator: as this site reaches it.
        records: this site's.
        home: where a study lies for people to read: studies/<name>/.
    Returns: names of the studies that are new to this site.
    Raises: FederationError: a study is not what its offer says; those before it are kept.
    """
    known = {offer.study: offer for offer in records.offers()}
    new = []
    for offer in coordinator.offers().offers:
        check_name(offer)
        _fetch_frozen(coordinator, offer, home.public)
        mine = known.get(offer.study)
        if mine is None or mine.bundle_sha256 != offer.bundle_sha256:
            bundle = coordinator.bundle(offer.study)
            check_bundle(offer, bundle)
            _write_for_reading(offer, bundle, home.studies / offer.study)
            records.learn(offer, bundle)
            new.append(offer.study)
        elif mine.answered_at is not None and (mine.state, mine.reason) != (offer.state, offer.reason):
            _tell(coordinator, mine)
    return new


def approve_by_rule(coordinator: Coordinator, records: SiteRecords, policy: PolicySettings) -> list[str]:
    """Approve the studies that wait for an answer where all of the site's rules hold, and tell the coordinator.

    Also those that have waited for longer: a person's command may have fetched them, or the rules were others.

    Args: as `fetch_offers`; policy: the site's.
    Returns: names of the studies that were approved.
    Raises: ConnectionProblem: the coordinator was not told; `fetch_offers` will.
    """
    approved = []
    for offer in records.offers():
        if offer.state != "pending":
            continue
        study, files = study_of(offer.toml), files_in(offer.bundle, offer.study, offer.toml)
        was_refused = records.a_person_refused(offer.study)
        if reasons_against(study, policy, files, was_refused):
            continue
        rules = [rule.told for rule in rules_of(study, policy, files, was_refused)]
        answered = records.approve_by_rule(offer.study, offer.bundle_sha256, rules)
        if answered is not None:
            approved.append(offer.study)
            _tell(coordinator, answered)
    return approved


def answer_offer(
    records: SiteRecords, coordinator: Coordinator, study: str, state: str, reason: str, bundle_sha256: str = ""
) -> None:
    """Answer a study: first in this site's own records, which decide what is trained here, then to the coordinator.

    Args:
        records: this site's.
        coordinator: as this site reaches it.
        study: its name.
        state: `approved` or `refused`.
        reason: for the coordinator to read.
        bundle_sha256: as in `SiteRecords.answer`.
    Raises:
        FederationError: this site was not offered such a study, or meanwhile another bundle of it.
        ConnectionProblem: the coordinator was not told; it will be, as soon as `fl-client start` reaches it.
        AccessError: the coordinator does not take the answer.
    """
    answered = records.answer(study, state, reason, bundle_sha256)
    try:
        _tell(coordinator, answered)
    except ConnectionProblem as error:
        raise ConnectionProblem(
            f"{study} is {state} here, but the coordinator does not know yet: {error.problem}",
            fix=f"{error.fix}; `fl-client start` tells it as soon as it answers",
        ) from None


def check_name(offer: StudyOffer) -> None:
    """Refuse an offer whose name is not its study's, which is fit for a folder and an address.

    Raises: FederationError: it is not.
    """
    if study_of(offer.toml).name != offer.study:
        raise _untrue("its settings name another study")


def check_bundle(offer: StudyOffer, bundle: bytes) -> None:
    """Refuse an app bundle that is not the one that was offered.

    Raises: FederationError: it has another SHA-256, or holds other settings than the offer shows.
    """
    if hashlib.sha256(bundle).hexdigest() != offer.bundle_sha256:
        raise _untrue("its app bundle has another SHA-256")
    if _study_in(bundle) != offer.toml:
        raise _untrue("its app bundle holds other settings than were shown")


def _fetch_frozen(coordinator: Coordinator, offer: StudyOffer, public: Path) -> None:
    """Bring the frozen weights of a study here, unless they are: whatever is asked of them, they travel once."""
    sha256 = study_of(offer.toml).model.frozen
    if not sha256 or path_of(public, sha256).exists():
        return
    weights = coordinator.frozen(offer.study)
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise _untrue("its frozen weights have another SHA-256")
    keep_public(public, weights)


def _study_in(bundle: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            (name,) = (name for name in archive.namelist() if Path(name).name == "study.toml")
            with archive.open(name) as file:
                return file.read(MAX_STUDY_BYTES).decode("utf-8")
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RuntimeError):
        raise _untrue("its app bundle holds no study.toml that can be read") from None


def _write_for_reading(offer: StudyOffer, bundle: bytes, folder: Path) -> None:
    write_atomically(folder / "study.toml", offer.toml)
    write_atomically(folder / "bundle.fab", bundle)
    write_atomically(folder / "offer.json", json.dumps(json_of(offer), indent=1))


def _tell(coordinator: Coordinator, offer: KnownOffer) -> None:
    coordinator.answer(
        offer.study,
        Answer.model_validate({"state": offer.state, "reason": offer.reason, "bundle_sha256": offer.bundle_sha256}),
    )


def _untrue(reason: str) -> FederationError:
    return FederationError(
        f"A study that the coordinator offers is not what it says: {reason}", fix="tell the coordinator"
    )
