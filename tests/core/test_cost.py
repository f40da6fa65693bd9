from decimal import Decimal
from pathlib import Path

import pytest

from core.cost import (
    BudgetSettings,
    Prices,
    budget_sentence,
    load_prices,
    money_at,
    money_at_coordinator,
    shown,
    usage_of,
)
from core.errors import ConfigError

PRICES = Prices.model_validate(
    {
        "currency": "EUR",
        "gpu_hour": 0.72,
        "cpu_hour": 0.036,
        "gb_sent": 0.09,
        "gb_month": 0.023,
        "sites": {"owner": {"gpu_hour": 0, "gb_sent": 0.01}},
    }
)


def test_a_site_costs_its_hours_and_what_it_sends() -> None:
    # 5000 s of GPU at 0.72 / 3600 s = 1; 100 s of CPU at 0.036 / 3600 s = 0.001; 2.5 GB at 0.09 = 0.225.
    usage = usage_of(5000.0, 100.0, 2_500_000_000, 7)
    assert money_at("north", usage, PRICES) == Decimal("1.226")


def test_a_site_s_own_prices_go_before_the_general_ones_and_zero_is_a_price() -> None:
    usage = usage_of(5000.0, 100.0, 2_500_000_000, 7)
    # Its GPU is its own; 0.001 of CPU as everywhere; 2.5 GB at 0.01.
    assert money_at("owner", usage, PRICES) == Decimal("0.026")


def test_the_coordinator_costs_what_it_sends_to_sites_and_what_it_keeps() -> None:
    used = [usage_of(0, 0, 0, 1_000_000_000), usage_of(0, 0, 0, 3_000_000_000)]
    # 4 GB at 0.09 = 0.36; 10 GB for half a month of 730 hours at 0.023 = 0.115.
    kept = Decimal(10 * 10**9) * 365 * 3600
    assert money_at_coordinator(used, kept, PRICES) == Decimal("0.475")


def test_many_small_amounts_add_up_without_drift() -> None:
    # As floats, ten times a tenth is not one.
    tenth = money_at("north", usage_of(500.0, 0, 0, 0), PRICES)
    assert tenth == Decimal("0.1")
    assert sum([tenth] * 10) == Decimal(1)


def test_money_has_two_decimals_and_half_a_cent_goes_up() -> None:
    assert [shown(Decimal(text)) for text in ("0", "1.005", "12.3449", "1000000")] == [
        "0.00", "1.01", "12.34", "1000000.00"
    ]  # fmt: skip


def test_a_budget_is_said_in_its_own_units() -> None:
    assert budget_sentence(BudgetSettings()) == "no limit"
    both = BudgetSettings.model_validate({"money": 500, "gpu_hours": 40})
    assert budget_sentence(both) == "500.00 EUR and 40 GPU hours"


def test_prices_are_read_from_the_coordinator_s_settings_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    assert not load_prices(file, {}).are_set
    file.write_text(
        '[coordinator]\naddress = "fl.example.org:443"\n[prices]\ngpu_hour = 0.8\n[prices.sites.a]\ngpu_hour = 2\n'
    )
    assert (load_prices(file, {}).gpu_hour, load_prices(file, {}).at("a").gpu_hour) == (Decimal("0.8"), Decimal(2))
    assert load_prices(file, {"FL_PRICES__GPU_HOUR": "1.25"}).at("b").gpu_hour == Decimal("1.25")
    with pytest.raises(ConfigError, match="gpu_hour"):
        load_prices(file, {"FL_PRICES__GPU_HOUR": "-1"})


def test_nothing_but_zeros_is_no_price() -> None:
    assert not Prices.model_validate({"sites": {"a": {"gpu_hour": 0}}}).are_set
    assert Prices.model_validate({"sites": {"a": {"cpu_hour": 0.01}}}).are_set
