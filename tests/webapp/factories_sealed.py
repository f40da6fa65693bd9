"""Rows that hold sealed values, made with the application's own functions: a user, patients, predictions, a comment."""

import json
import shutil
from pathlib import Path

from sqlalchemy import Engine

from core.clock import now
from core.records.audit import sign_head
from core.records.copying import pages_out
from core.records.db import connect, reading, transaction
from core.records.migrate import revision_of
from core.records.web_tables import Feedback, Prediction
from webapp.accounts import create_user
from webapp.checkpoints import head_signer
from webapp.config import SiteSettings, WebConfig
from webapp.journal import SERVICE, About, note
from webapp.patients import keep_patient
from webapp.sealed_files import write_sealed
from webapp.vault import KEY_BYTES, Vault

PASSWORD = "correct horse battery"
NAME, NUMBER = "Planted^Patient", "MRN-31415926"
RESULT = {"verdict": "usable"}


def a_server(folder: Path, database: str) -> WebConfig:
    """Return the settings of a server in a folder, over a database."""
    (folder / "data" / "files").mkdir(parents=True)
    return WebConfig(data=folder / "data", site=SiteSettings(database=database))


def a_user(engine: Engine, vault: Vault, name: str = "anna") -> str:
    """Make a clinician and return the address of the second factor."""
    return create_user(engine, vault, name, "clinician", PASSWORD, by=SERVICE).totp_uri


def a_prediction(engine: Engine, config: WebConfig, vault: Vault, number: int, record_number: str = NUMBER) -> str:
    """Make a prediction that is done, with one encrypted file, and a comment that names the patient; return its id."""
    identifier = f"{number:032x}"
    key = number.to_bytes(KEY_BYTES, "big")
    write_sealed(config.files / identifier / "rtumor", key, f"the file of {number}".encode())
    with transaction(engine) as session:
        patient = keep_patient(session, vault, {"record_number": record_number, "name": NAME})
        session.add(
            Prediction(
                id=identifier,
                owner="anna",
                patient=patient,
                state="done",
                created_at=now(),
                finished_at=now(),
                upload_bytes=1,
                file_key_sealed=vault.seal(key, f"predictions.file_key/{identifier}"),
                draft_sealed=vault.seal_json({"names": {"u00000": NAME}}, f"predictions.draft/{identifier}"),
                attempts=1,
                step="",
                steps_done=0,
                steps=0,
                version="0001-demo-00000000",
                tumor_probability=0.1 + 1e-17 * number,
                mgmt_probability=1 / 3,
                result_sealed=vault.seal_json(RESULT, f"predictions.result/{identifier}"),
            )
        )
        session.flush()
        about = About(identifier, "0001-demo-00000000", 0.1 + 1e-17 * number, 1 / 3)
        seq = note(session, "anna", "result.agreed", about, comment_mac=vault.mac("comment", NAME))
        session.add(
            Feedback(
                seq=seq,
                prediction=identifier,
                user="anna",
                at=now(),
                said="agreed",
                comment_sealed=vault.seal(NAME.encode(), f"feedback.comment/{seq}"),
                comment_mac=vault.mac("comment", NAME),
            )
        )
    return identifier


def a_filled_server(engine: Engine, config: WebConfig, predictions: int = 3) -> Vault:
    """Fill a server with a user and predictions, each of a patient of its own, and return what opens them."""
    vault = Vault(config.keys_path)
    a_user(engine, vault)
    for number in range(predictions):
        a_prediction(engine, config, vault, number, f"{NUMBER}-{number}")
    return vault


def sign_heads(engine: Engine, config: WebConfig) -> None:
    """Sign the log's head, as the worker does every minute."""
    signer = head_signer(config)
    assert signer.private
    sign_head(engine, signer.private, signer.checkpoints)


def a_new_machine(config: WebConfig, folder: Path, database: str = "") -> Path:
    """Return an empty folder that holds a server's keys, and the settings of its new database where one is named."""
    for path in config.keys_path.parent.iterdir():
        (folder / "keys").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / "keys" / path.name)
    if database:
        (folder / "web.toml").write_text(f"[site]\ndatabase = {json.dumps(database)}\n")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, keys apart."""
    files = [path for path in folder.rglob("*") if path.is_file() and "keys" not in path.parts[-2:]]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def rows_of(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a database, sorted, by table."""
    found: dict[str, list[tuple[object, ...]]] = {}
    with reading(engine) as session:
        for page in pages_out(session):
            found.setdefault(page.table, []).extend(tuple(row) for row in page.rows)
    return {name: sorted(rows, key=repr) for name, rows in found.items()}


def is_empty(url: str) -> bool:
    """Say whether nothing was restored into a database, or into none yet."""
    if url.startswith("sqlite"):
        return not Path(url.removeprefix("sqlite:///")).exists()
    return revision_of(connect(url)) == ""
