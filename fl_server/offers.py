"""The studies that a site was offered and its answers to them, and the model versions that it may have."""

from pathlib import Path

from sqlalchemy import Engine, select

from core.clock import now
from core.errors import AccessError, RegistryError
from core.public_files import public_file
from core.records import audit
from core.records.approvals import approval_file
from core.records.db import reading, transaction
from core.records.runs import offered_study
from core.records.tables import Offer, StudyBundle
from core.records.version_files import FILES
from core.site_protocol import Answer, Offers, PublishedVersion, StudyOffer
from core.study import closing_sentence
from fl_server.presence import printable

VERSION_FILES = (*FILES, "approval.json")


def offers_of(records: Engine, site: str) -> Offers:
    """Return every study that a site was offered, oldest first."""
    with reading(records) as session:
        of_site = select(Offer, StudyBundle.toml, StudyBundle.bundle_sha256).join(
            StudyBundle, Offer.study == StudyBundle.name
        )
        rows = session.execute(of_site.where(Offer.site == site).order_by(Offer.offered_at)).all()
        asked: dict[str, list[str]] = {}
        for study, other in session.execute(select(Offer.study, Offer.site).order_by(Offer.site)):
            asked.setdefault(study, []).append(other)
    return Offers(
        offers=[
            StudyOffer(
                study=offer.study,
                toml=toml,
                bundle_sha256=bundle_sha256,
                rounds_close=closing_sentence(offered_study(records, offer.study), len(asked[offer.study])),
                sites=asked[offer.study],
                state=offer.state,
                reason=offer.reason,
                offered_at=offer.offered_at,
            )
            for offer, toml, bundle_sha256 in rows
        ]
    )


def bundle_for(records: Engine, site: str, study: str) -> bytes:
    """Return the app bundle of a study that a site was offered.

    Raises: AccessError: it was not offered this study.
    """
    with reading(records) as session:
        if session.get(Offer, (study, site)) is None:
            raise _not_offered(site, study)
        return session.get_one(StudyBundle, study).bundle


def frozen_for(records: Engine, site: str, study: str, public: Path) -> bytes:
    """Return the frozen weights that a study which a site was offered names.

    Raises:
        AccessError: it was not offered this study.
        ConfigError: the study names none, or they are not here any more.
        DataError: they were damaged.
    """
    with reading(records) as session:
        if session.get(Offer, (study, site)) is None:
            raise _not_offered(site, study)
    return public_file(public, offered_study(records, study).model.frozen, "frozen weights").read_bytes()


def answer_offer(records: Engine, site: str, study: str, answer: Answer) -> None:
    """Keep a site's answer to a study; the same answer again changes nothing.

    Raises: AccessError: it was not offered this study, or means another bundle than the one that is offered.
    """
    with transaction(records) as session:
        offer = session.get(Offer, (study, site))
        if offer is None:
            raise _not_offered(site, study)
        if session.get_one(StudyBundle, study).bundle_sha256 != answer.bundle_sha256:
            raise AccessError(
                f"The answer of {site} is to another bundle of {study} than the one that is offered",
                fix="look at the study again, then answer it",
            )
        reason = printable(answer.reason)
        if (offer.state, offer.reason) == (answer.state, reason):
            return
        offer.state, offer.reason, offer.answered_at = answer.state, reason, now()
        audit.append(
            session,
            f"site:{site}",
            f"study.{answer.state}",
            study=study,
            site=site,
            reason=reason,
            bundle_sha256=answer.bundle_sha256,
        )


def published(registry: Path, names: list[str]) -> list[PublishedVersion]:
    """Return approved versions as a site is told of them.

    Args:
        registry: the folder of model versions.
        names: the approved ones, oldest first.
    """
    return [
        PublishedVersion(
            name=name,
            study=name.partition("-")[2].rpartition("-")[0],
            files={file: file_of(registry, name, file).stat().st_size for file in VERSION_FILES},
        )
        for name in names
    ]


def file_of(registry: Path, name: str, file: str) -> Path:
    """Return where a file of a version lies: its approval beside its folder, which never changes.

    Raises: RegistryError: a version has no such file.
    """
    if file not in VERSION_FILES:
        raise RegistryError("A model version has no such file", fix=f"ask for one of {', '.join(VERSION_FILES)}")
    return approval_file(registry, name) if file == "approval.json" else registry / name / file


def _not_offered(site: str, study: str) -> AccessError:
    # The same whether the study exists or not: a site learns only of what it was offered.
    return AccessError(f"{site} was not offered a study of this name", fix="see `fl-client status` for its offers")
