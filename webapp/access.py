"""Whose predictions a clinician may see: one's own, and those of a patient whose record number one has typed.

Having typed it is shown by a text that this server has made for one session and an hour, and that is sent along as
`X-Patient-Access`; nothing of it is stored.
"""

import hmac

from flask import request

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


def demand_access(row: Prediction) -> None:
    """Check that whoever is asking may see a prediction.

    Raises: Denied: it is another's; told as if there were none.
    """
    identity = who()
    if row.owner == identity.user:
        return
    until, _, mac = request.headers.get(HEADER, "").rpartition(".")
    if row.patient and until > now() and hmac.compare_digest(mac.encode(), _mac(identity, row.patient, until).encode()):
        return
    raise Denied(404, "There is no such prediction", fix="check the address, or type the patient's record number")


def row_for(identifier: str) -> Prediction:
    """Return a prediction that whoever is asking may see.

    Raises: Denied: there is none, or it is another's.
    """
    row = looking().get(Prediction, identifier)
    if row is None:
        raise Denied(404, "There is no such prediction", fix="check the address, or type the patient's record number")
    demand_access(row)
    return row


def _mac(identity: Identity, patient: str, until: str) -> str:
    return vault().mac("patient access", f"{identity.credential}\n{patient}\n{until}")
