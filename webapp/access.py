"""Whose predictions a clinician may see: one's own, and those of a patient whose record number one has typed.

Having typed it is shown by a text that this server has made for one session and an hour, and that is sent along as
`X-Patient-Access`; nothing of it is stored.
"""

import hmac

from flask import request
from sqlalchemy.orm import Session

from core.clock import after, now
from core.records.web_tables import Prediction
from webapp.credentials import Identity
from webapp.database import looking
from webapp.errors import Denied
from webapp.guards import vault, who

HEADER = "X-Patient-Access"
_VALID_S = 3600


def access_to(identity: Identity, patient: str) -> str:
    """Return the text that opens a patient's predictions to whoever has typed the record number."""
    until = after(_VALID_S)
    return f"{until}.{_mac(identity, patient, until)}"


def row_for(identifier: str) -> Prediction:
    """Return a prediction that whoever is asking may see.

    Raises: Denied: there is none, or it is another's; the two look the same.
    """
    return _allowed(looking().get(Prediction, identifier))


def row_to_change(session: Session, identifier: str) -> Prediction:
    """Return the same, which nobody else changes until the transaction ends.

    Raises: Denied: as `row_for`.
    """
    return _allowed(session.get(Prediction, identifier, with_for_update=True))


def _allowed(row: Prediction | None) -> Prediction:
    identity = who()
    if row is not None and row.owner == identity.user:
        return row
    until, _, mac = request.headers.get(HEADER, "").rpartition(".")
    if row is not None and row.patient and until > now():
        expected = _mac(identity, row.patient, until)
        if hmac.compare_digest(mac.encode(), expected.encode()):
            return row
    raise Denied(404, "There is no such prediction", fix="check the address, or type the patient's record number")


def _mac(identity: Identity, patient: str, until: str) -> str:
    return vault().mac("patient access", f"{identity.credential}\n{patient}\n{until}")
