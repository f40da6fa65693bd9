"""Patients, known to the database by the keyed hash of their record number alone; their names are sealed."""

import secrets
from typing import TypedDict

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.clock import now
from core.records.web_tables import Patient
from webapp.vault import Vault

LONGEST_RECORD_NUMBER = 64


class Identity(TypedDict):
    """What is sealed of a patient."""

    record_number: str
    name: str


def same_record_number(one: str, other: str) -> bool:
    """Say whether two record numbers are one, however they were typed."""
    return _plain(one) == _plain(other)


def pseudonym_of(vault: Vault, record_number: str) -> str:
    """Return what stands for a record number in the database."""
    return vault.mac("record number", _plain(record_number))


def find_patient(session: Session, vault: Vault, record_number: str) -> Patient | None:
    """Return the patient of a record number, or None where there is none."""
    return session.scalar(select(Patient).where(Patient.pseudonym == pseudonym_of(vault, record_number)))


def keep_patient(session: Session, vault: Vault, identity: Identity) -> str:
    """Return the id of a patient, who is written down where the record number is new.

    Args:
        session: of a transaction that writes.
        vault: seals what names the patient.
        identity: with a record number.
    """
    found = find_patient(session, vault, identity["record_number"])
    if found is not None:
        return found.id
    identifier = secrets.token_hex(16)
    sealed = vault.seal_json(dict(identity), f"patients.identity/{identifier}")
    pseudonym = pseudonym_of(vault, identity["record_number"])
    session.add(Patient(id=identifier, pseudonym=pseudonym, identity_sealed=sealed, created_at=now()))
    session.flush()
    return identifier


def identity_of(vault: Vault, patient: Patient) -> Identity:
    """Return who a patient is."""
    opened: Identity = vault.open_json(patient.identity_sealed, f"patients.identity/{patient.id}")
    return opened


def _plain(record_number: str) -> str:
    return "".join(record_number.split()).casefold()
