"""The federation as a coordinator's page shows it: sites, runs, rounds, what each costs; read, never touched."""

from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, select

from core.cost import load_prices
from core.errors import FederationError
from core.records.cost_views import cost_of
from core.records.db import reading
from core.records.rounds import rounds_of
from core.records.runs import answers_of, offered_study, run_of
from core.records.status import run_view, status_of
from core.records.tables import Effort, Run
from core.study import Study, closing_sentence, privacy_sentence
from webapp.config import WebConfig
from webapp.errors import missing


def whole(engine: Engine, config: WebConfig) -> dict[str, Any]:
    """Return every site and every run, the newest run first."""
    status = status_of(engine, config.home).as_json()
    studies = _studies(engine, {run["study"] for run in status["runs"]})
    runs = [_brief(run, studies[run["study"]]) for run in reversed(status["runs"])]
    return {"processes": status["processes"], "sites": status["sites"], "runs": runs}


def find_run(engine: Engine, name: str) -> Run:
    """Return a run's row.

    Raises: Denied: there is no such run.
    """
    try:
        return run_of(engine, name)
    except FederationError:
        raise missing("run") from None


def one_run(engine: Engine, config: WebConfig, name: str) -> dict[str, Any]:
    """Return a run with its rounds, what it costs each site, and what was agreed.

    Raises: Denied: there is no such run.
    """
    row = find_run(engine, name)
    study = offered_study(engine, row.study)
    cost = cost_of(engine, row, study, load_prices(config.home / "server.toml"))
    run = asdict(run_view(row, rounds_of(engine, name), answers_of(engine, row.study).values(), cost))
    with reading(engine) as session:
        efforts = session.scalars(select(Effort).where(Effort.run == name).order_by(Effort.site)).all()
    privacy = study.privacy
    return {
        **_brief(run, study),
        "created_at": row.created_at,
        "changed_at": row.changed_at,
        "wish": row.wish,
        "sites": sorted(row.sites),
        "answers": run["answers"],
        "rounds": run["rounds"],
        "efforts": [
            {name: getattr(one, name) for name in ("site", "sent_bytes", "received_bytes", "cpu_s", "gpu_s")}
            for one in efforts
        ],
        "cost": run["cost"],
        "closes": closing_sentence(study, len(row.sites)),
        "privacy": {
            "is_on": privacy.is_on,
            "says": privacy_sentence(study),
            "epsilon": privacy.epsilon or None,
            "delta": privacy.delta if privacy.is_on else None,
        },
    }


def _studies(engine: Engine, names: set[str]) -> dict[str, Study]:
    return {name: offered_study(engine, name) for name in names}


def _brief(run: dict[str, Any], study: Study) -> dict[str, Any]:
    rounds, wanted = run["rounds"], study.federation.rounds
    # The last aggregate's evaluation comes as one round more.
    counted = {one["round"] for one in rounds if one["counted"] and one["round"] <= wanted}
    kept = {field: run[field] for field in ("run", "study", "state", "cause", "version", "complete")}
    return kept | {
        "rounds_done": len(counted),
        "rounds_wanted": wanted,
        "newest": rounds[-1] if rounds else None,
    }
