"""How the server is set up and does, as an administrator's page shows it; no secret and no patient."""

from importlib.metadata import version
from typing import Any

from sqlalchemy import Engine, select

from core.records.db import reading
from core.records.tables import AuditEvent, AuditHead
from webapp.config import WebConfig
from webapp.queue import unfinished
from webapp.readiness import unready
from webapp.vault import Vault


def server_state(engine: Engine, config: WebConfig, vault: Vault) -> dict[str, Any]:
    """Return readiness, keys, retention, sign-in, limits, queue, log and the last backup."""
    keys = vault.keys
    with reading(engine) as session:
        depth = unfinished(session)
        head = session.scalar(select(AuditHead))
        done = {
            action: session.scalar(
                select(AuditEvent.at).where(AuditEvent.action == action).order_by(AuditEvent.at.desc()).limit(1)
            )
            for action in ("backup.made", "keys.rotated")
        }
    return {
        "release": version("gliofed"),
        "serves": config.site.serves,
        "predicts": config.predicts,
        "database": engine.dialect.name,
        "lacking": unready(engine, config),
        "queue": depth,
        "log": {"events": head.seq if head else 0, "signed_heads": head.checkpoints if head else 0},
        "keys": {
            "newest": keys.newest,
            "older": sorted(keys.sealing.keys() - {keys.newest}),
            "rotated_at": done["keys.rotated"],
        },
        "backup_at": done["backup.made"],
        "retention": config.retention.model_dump(),
        "sign_in": config.sign_in.model_dump(),
        "openid": config.openid.issuer or None,
        "limits": config.limits.model_dump(),
    }
