from pathlib import Path

import pytest
import tomli_w
from sqlalchemy import Engine

from core.clock import after
from core.cost import Prices
from core.errors import ConfigError
from core.records import runs
from core.records.budgets import budget_end
from core.records.cost_views import cost_of, projection_sentences
from core.records.costs import projection
from core.records.db import open_database, transaction
from core.records.tables import Effort, Round, Site
from core.study import Study, settings_to_share
from fl_server.launch import launch

SITES = ["north", "south"]
# A GPU hour costs 3.60, so that 10 s cost a cent; south's costs twice as much.
PRICES = Prices.model_validate({"gpu_hour": 3.6, "sites": {"south": {"gpu_hour": 7.2}}})


@pytest.fixture
def records(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'records.db'}")


def a_study(name: str = "s", rounds: int = 10, **sections: dict[str, object]) -> Study:
    return Study.model_validate({"name": name, "federation": {"rounds": rounds}, **sections})


def a_run(records: Engine, study: Study, name: str, gpu_s: dict[str, float], rounds: list[list[str]]) -> None:
    """Enter a run with what each site has told, and its rounds with who took part."""
    runs.offer_study(
        records, study=study.name, toml=tomli_w.dumps(settings_to_share(study)), bundle=b"", bundle_sha256="a" * 64,
        sites=SITES, actor="c",
    )  # fmt: skip
    runs.create_run(records, run=name, study=study.name, folder="f", sites=SITES, actor="c", state="running")
    with transaction(records) as session:
        for site, seconds in gpu_s.items():
            session.merge(Effort(run=name, site=site, sent_bytes=0, received_bytes=0, cpu_s=0.0, gpu_s=seconds))
        for number, sites in enumerate(rounds, start=1):
            session.merge(
                Round(
                    run=name, number_of_try=number, round=number, counted=True, sites=sites, left_out={}, loss=None,
                    auc=None, by_site=None, seconds=1.0, closed_at=after(0),
                )
            )  # fmt: skip


def test_a_run_costs_what_its_sites_have_told_and_its_rounds_left_as_much_again(records: Engine) -> None:
    study = a_study(budget={"money": 20, "gpu_hours": 1})
    # North: 400 s in two rounds; south: 100 s in the one in which it took part.
    a_run(records, study, "r", {"north": 400.0, "south": 100.0}, [SITES, ["north"]])
    cost = cost_of(records, runs.run_of(records, "r"), study, PRICES)
    assert (cost.sites, cost.coordinator, cost.total) == ({"north": "0.40", "south": "0.20"}, "0.00", "0.60")
    # 500 s; and 200 + 100 s in each of 8 rounds: 2900 s, 0.40 + 8 * 0.20 + 0.20 + 8 * 0.20 EUR.
    assert (cost.gpu_hours, cost.projected_gpu_hours, cost.projected, cost.projected_from) == (
        "0.14",
        "0.81",
        "3.80",
        "r",
    )
    assert (cost.budget, cost.budget_gpu_hours) == ("20.00", "1.00")


def test_a_run_that_has_ended_is_projected_no_more(records: Engine) -> None:
    a_run(records, a_study(), "r", {"north": 400.0}, [SITES])
    runs.move_run(records, "r", "stopped", actor="c")
    assert cost_of(records, runs.run_of(records, "r"), a_study(), PRICES).projected is None


def test_before_launch_the_newest_earlier_run_of_the_same_work_is_the_basis(records: Engine) -> None:
    a_run(records, a_study("old"), "old-1", {"north": 10.0, "south": 10.0}, [SITES])
    a_run(records, a_study("newer"), "newer-1", {"north": 100.0}, [["north"], ["north"]])
    a_run(records, a_study("none-yet"), "none-yet-1", {}, [])
    a_run(records, a_study("other", training={"epochs_per_round": 9}), "other-1", {"north": 900.0}, [SITES])
    found = projection(records, a_study("new", rounds=4), ("north", "south"), PRICES)
    assert found is not None
    assert (found.basis, found.rounds, found.unknown) == ("newer-1", 2, ("south",))
    # 50 s a round in 4 rounds: 200 s, 0.20 EUR.
    assert projection_sentences(found, a_study("new", rounds=4), PRICES) == (
        "4 rounds will come to 0.20 EUR and 0.06 GPU hours, judged by 2 rounds of newer-1: "
        "north 0.20 EUR (0.06 GPU h, 0.00 CPU h).",
        "Not in it, for nothing is known of them: south.",
    )
    own = projection(records, a_study("old", rounds=10), ("north", "south"), PRICES)
    assert own is not None
    assert own.basis == "old-1", "a run of the very study goes before a newer one of another"


def test_without_an_earlier_run_nothing_is_projected(records: Engine) -> None:
    assert projection(records, a_study(), ("north",), PRICES) is None
    assert "Not projected" in projection_sentences(None, a_study(), PRICES)[0]


@pytest.mark.parametrize(
    ("gpu_s", "budget", "before_a_round", "said"),
    [
        # 200 s in two rounds: 0.20 EUR, and 0.10 more for the next.
        (200.0, {"money": "0.31"}, True, ""),
        (200.0, {"money": "0.30"}, True, ""),
        (
            200.0, {"money": "0.29"}, True,
            "the budget of 0.29 EUR is spent: 0.20 EUR after 2 of 10 rounds, and one more would come to 0.30 EUR",
        ),
        (200.0, {"money": "0.29"}, False, ""),
        (200.0, {"money": "0.20"}, False, "the budget of 0.20 EUR is spent: 0.20 EUR after 2 of 10 rounds"),
        (7200.0, {"gpu_hours": 2}, False, "the budget of 2 GPU hours is spent: 2.00 GPU hours after 2 of 10 rounds"),
        (7199.0, {"gpu_hours": 2}, False, ""),
        (9e9, {}, True, ""),
    ],
)  # fmt: skip
def test_a_budget_ends_where_it_is_reached_or_one_more_round_would_go_beyond(
    records: Engine, gpu_s: float, budget: dict[str, object], before_a_round: bool, said: str
) -> None:
    study = a_study(budget=budget)
    a_run(records, study, "r", {"north": gpu_s}, [["north"], ["north"]])
    assert budget_end(records, "r", study, PRICES, before_a_round=before_a_round) == said


def test_thirds_of_an_hour_make_an_hour(records: Engine) -> None:
    study = a_study(budget={"gpu_hours": 1})
    a_run(records, study, "r", {"north": 1200.0, "south": 2400.0}, [SITES])
    assert "1.00 GPU hours" in budget_end(records, "r", study, PRICES, before_a_round=False)


@pytest.mark.parametrize("prices", [Prices(), PRICES.model_copy(update={"currency": "USD"})])
def test_a_budget_of_money_needs_prices_in_its_currency(records: Engine, prices: Prices) -> None:
    study = a_study(budget={"money": 5})
    a_run(records, study, "r", {}, [])
    with pytest.raises(ConfigError, match="budget"):
        budget_end(records, "r", study, prices, before_a_round=True)


def test_a_launch_beyond_its_budget_is_refused_before_anybody_is_asked_unless_it_is_meant(
    records: Engine, tmp_path: Path
) -> None:
    with transaction(records) as session:
        for site in SITES:
            session.add(Site(name=site, state="enrolled", invited_at=after(0)))
    a_run(records, a_study("old"), "old-1", {"north": 100.0, "south": 50.0}, [SITES])
    # 0.10 EUR each a round: 2 EUR in all.
    study = a_study("new", budget={"money": 1})
    bundle = tmp_path / "bundle"
    bundle.write_bytes(b"fab")
    with pytest.raises(
        ConfigError, match=r"beyond its budget of 1\.00 EUR: 10 rounds will come to 2\.00 EUR"
    ) as refused:
        launch(records, tmp_path, study, (), lambda _: bundle, PRICES)
    assert "--over-budget" in refused.value.fix
    assert not runs.answers_of(records, "new")
    launched = launch(records, tmp_path, study, (), lambda _: bundle, PRICES, over_budget=True)
    assert launched.cost[0].startswith(
        "10 rounds will come to 2.00 EUR and 0.42 GPU hours, judged by 1 round of old-1:"
    )
    with pytest.raises(ConfigError, match="nothing has a price"):
        launch(records, tmp_path, a_study("third", budget={"money": 1}), (), lambda _: bundle)


def test_what_is_kept_is_counted_from_the_first_two_rounds_on(records: Engine) -> None:
    study = a_study(model={"preset": "large"})
    a_run(records, study, "r", {"north": 1.0}, [SITES, SITES, SITES])
    with transaction(records) as session:
        for number in (1, 2, 3):
            session.get_one(Round, ("r", number)).closed_at = after(-730 * 3600)
    # Twice 8,138,998 values of 4 bytes for a month: 0.0651 GB at 100 a GB.
    dear = Prices.model_validate({"gb_month": 100})
    assert cost_of(records, runs.run_of(records, "r"), study, dear).coordinator == "6.51"
