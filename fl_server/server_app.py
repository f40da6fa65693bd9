"""Flower's ServerApp: run the rounds, then register the best round's model as a candidate version."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from sqlalchemy import Engine

from core.clock import now
from core.config import load_config, validate
from core.errors import ConfigError, FederationError, FLError, RecordsError
from core.learning.frozen import study_model
from core.learning.metrics import scores_of
from core.learning.model import GliomaNet
from core.learning.weights import flatten, manifest_of, restore, tensors_of
from core.processes import this_process
from core.records.db import open_database
from core.records.home import public_folder, registry_folder
from core.records.registry import add_version, find_version, list_versions, load_version
from core.records.rounds import close_round
from core.records.runs import move_run, register_version, run_of, taking_part
from core.records.tables import Round, Run
from core.study import Study
from fl_server.bounds import Bounds, RunStops
from fl_server.card import calibration_of, card_of
from fl_server.checkpoints import RoundRecord, RunState, best_round, load_state, locked, round_weights
from fl_server.config import RunConfig, database_url, server_config_path
from fl_server.journal import Journal, writing
from fl_server.public_validation import public_validation
from fl_server.rounds import Plan, run_rounds
from fl_server.uploads import uploads_of

ACTOR = "server-app"


def make_server_app(study: Path, *, waits: bool = True, has_edge: bool = True) -> ServerApp:
    """Return the ServerApp of a study.

    Args:
        study: its study.toml, which lies in the app bundle.
        waits: see `fl_server.rounds.Plan`.
        has_edge: whether sites come through the edge, which tells of their uploads.
    """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        """Run the study, or what is left of it; a finished and registered run is left as it is."""
        config = validate(RunConfig, context.run_config, "the run-config")
        # Without this process's variables: every site must read the same study.
        run_study(
            grid,
            load_config(Study, study, {}),
            config.run,
            open_database(database_url()),
            waits=waits,
            has_edge=has_edge,
        )

    return app


def run_study(grid: Grid, study: Study, run: str, records: Engine, *, waits: bool, has_edge: bool) -> None:
    """Take a run from wherever it stands to its end, and note in the records how it ends.

    Raises:
        ConfigError: the quorum can never be reached.
        FederationError: the run cannot go on and is paused: a round stayed below its quorum, or the coordinator's disk
            or database takes nothing.
    """
    row = run_of(records, run)
    folder = Path(row.folder)
    with locked(folder):
        if row.state == "finished" and row.version in list_versions(registry_folder()):
            return
        model = study_model(study.model, study.seed, public_folder())
        manifest, initial = manifest_of(model), flatten(model)
        if row.state != "finished":
            move_run(records, run, "running", actor=ACTOR, process=this_process())
        try:
            with writing():
                plan = replace(
                    _plan(records, row, study, waits, has_edge),
                    validate=public_validation(study, model, public_folder()),
                )
                stopped = ""
                try:
                    state = run_rounds(grid, study, manifest, initial, plan)
                except RunStops as end:
                    plan.journal.clear()
                    state, stopped = load_state(folder, study, manifest, initial), end.cause
                _register(records, row, study, model, state, stopped)
        except FLError as error:
            if row.state != "finished":
                state_now = "paused" if isinstance(error, FederationError) else "failed"
                with suppress(RecordsError):  # else it is taken up again as it stands
                    move_run(records, run, state_now, actor=ACTOR, cause=error.problem)
            raise


def _plan(records: Engine, row: Run, study: Study, waits: bool, has_edge: bool) -> Plan:
    sites = taking_part(records, row)
    if study.federation.quorum > len(sites):
        raise ConfigError(
            f"A quorum of {study.federation.quorum} can never be reached by {len(sites)} site(s)",
            fix="lower federation.quorum in the study, or ask more sites",
        )
    return Plan(
        run=row.id,
        folder=Path(row.folder),
        sites=lambda: taking_part(records, row),
        journal=Journal(records, Path(row.folder) / "objects"),
        closed=_closer(records, row.id, study.strategy.name),
        waits=waits,
        told=partial(uploads_of, records) if has_edge else None,
        bounds=Bounds(records, row.id, study, server_config_path(), keeps_hours=waits),
    )


def _closer(records: Engine, run: str, strategy: str) -> Callable[[RunState], None]:
    def close(state: RunState) -> None:
        record = state.history[-1]
        scores = scores_of(record.validation) if record.validation else None
        row = Round(
            run=run,
            number_of_try=len(state.history),
            round=record.round,
            counted=record.counted,
            sites=list(record.sites),
            left_out=record.rejected | record.failed,
            loss=scores.loss if scores else None,
            auc=scores.mgmt.auc if scores else None,
            by_site=_scores_by_site(record),
            seconds=record.seconds,
            closed_at=now(),
        )
        close_round(
            records,
            row,
            weights={site: brought.weights_sha256 for site, brought in record.sites.items()},
            receipts={site: brought.receipt for site, brought in record.sites.items()},
            aggregate=state.weights_sha256,
            strategy=strategy,
        )

    return close


def _scores_by_site(record: RoundRecord) -> dict[str, dict[str, float | None]] | None:
    scores = {site: scores_of(brought.validation) for site, brought in record.sites.items() if brought.validation}
    return {site: {"loss": one.loss, "auc": one.mgmt.auc} for site, one in scores.items()} or None


def _register(records: Engine, row: Run, study: Study, model: GliomaNet, state: RunState, stopped: str) -> None:
    """Register a model with the best round's weights, frozen ones beside them: whoever pulls it needs no more.

    A run that stops before its end may have no round that was validated; then it leaves no version.
    """
    best = best_round(state.history, study)
    if stopped and not best:
        told = f"{stopped}; no model of it was validated, so it leaves none"
        move_run(records, row.id, "stopped", actor=ACTOR, cause=told)
        return
    restore(model, round_weights(Path(row.folder), best))
    registry, tensors = registry_folder(), tensors_of(model)
    # A process that ended right here, before the note, has registered these weights already.
    name = find_version(registry, study.name, tensors)
    if name is None:
        card = card_of(study, manifest_of(model), state.history)
        fitted = calibration_of(study, state.history).model_dump(mode="json")
        name = add_version(registry, study.name, tensors, card, fitted)
    card = load_version(registry / name).card
    register_version(records, row.id, name=name, weights_sha256=card["weights_sha256"], stopped=stopped)
