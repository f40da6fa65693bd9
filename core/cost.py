"""What work costs: seconds, bytes and months times a coordinator's prices, in exact decimals.

Money is rounded once for each site, to a millionth, so that what is listed adds up to the total to the last digit.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from core.config import Section, overlay, validate

HOUR_S = 3600
# As clouds bill it: 730 hours.
MONTH_S = 730 * HOUR_S
GB = 10**9
_MILLIONTH, _CENT = Decimal("0.000001"), Decimal("0.01")
ZERO = Decimal(0)

Amount = Annotated[Decimal, Field(ge=0, le=1_000_000_000, decimal_places=6)]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217")]


class BudgetSettings(Section):
    """What a run of a study may cost; 0: no limit."""

    money: Amount = ZERO
    currency: Currency = "EUR"
    gpu_hours: Amount = Field(ZERO, description="of all sites together")

    @property
    def is_set(self) -> bool:
        """Whether there is a limit."""
        return bool(self.money or self.gpu_hours)


class SitePrices(Section):
    """What is other at one site; what is not written is as everywhere."""

    gpu_hour: Amount | None = None
    cpu_hour: Amount | None = None
    gb_sent: Amount | None = None


class Prices(Section):
    """What things cost; 0: not counted."""

    currency: Currency = "EUR"
    gpu_hour: Amount = ZERO
    cpu_hour: Amount = Field(ZERO, description="of one core")
    gb_sent: Amount = Field(ZERO, description="10^9 bytes that leave a site, or the coordinator for a site")
    gb_month: Amount = Field(ZERO, description="10^9 bytes kept at the coordinator for 730 hours")
    sites: dict[str, SitePrices] = Field({}, description="by name, what is other there")

    @property
    def are_set(self) -> bool:
        """Whether anything costs anything."""
        general = (self.gpu_hour, self.cpu_hour, self.gb_sent, self.gb_month)
        own = (price for site in self.sites.values() for price in (site.gpu_hour, site.cpu_hour, site.gb_sent))
        return any(general) or any(price for price in own if price)

    def at(self, site: str) -> "Prices":
        """Return what things cost at one site."""
        own = self.sites.get(site, SitePrices()).model_dump(exclude_none=True)
        return self.model_copy(update=own)


@dataclass(frozen=True)
class Usage:
    """What a run has used at a site.

    Attributes:
        gpu_s: seconds for which a GPU was held.
        cpu_s: seconds of cores' work.
        sent_bytes, received_bytes: over the wire, as the site sees it.
    """

    gpu_s: Decimal = ZERO
    cpu_s: Decimal = ZERO
    sent_bytes: Decimal = ZERO
    received_bytes: Decimal = ZERO

    def times(self, many: int) -> "Usage":
        """Return so many times as much."""
        return Usage(self.gpu_s * many, self.cpu_s * many, self.sent_bytes * many, self.received_bytes * many)

    def shared(self, among: int) -> "Usage":
        """Return so large a part of it."""
        return Usage(self.gpu_s / among, self.cpu_s / among, self.sent_bytes / among, self.received_bytes / among)

    def plus(self, other: "Usage") -> "Usage":
        """Return both together."""
        return Usage(
            self.gpu_s + other.gpu_s,
            self.cpu_s + other.cpu_s,
            self.sent_bytes + other.sent_bytes,
            self.received_bytes + other.received_bytes,
        )


def usage_of(gpu_s: float, cpu_s: float, sent_bytes: int, received_bytes: int) -> Usage:
    """Return what a site has told, as exact decimals of what it wrote."""
    return Usage(Decimal(str(gpu_s)), Decimal(str(cpu_s)), Decimal(sent_bytes), Decimal(received_bytes))


def money_at(site: str, usage: Usage, prices: Prices) -> Decimal:
    """Return what a site's work costs, to a millionth."""
    here = prices.at(site)
    seconds = usage.gpu_s * here.gpu_hour + usage.cpu_s * here.cpu_hour
    return _exact(seconds / HOUR_S + usage.sent_bytes * here.gb_sent / GB)


def money_at_coordinator(used: Iterable[Usage], kept_byte_s: Decimal, prices: Prices) -> Decimal:
    """Return what a run costs the coordinator, to a millionth: what it sends to sites, and what it keeps.

    Args:
        used: of every site.
        kept_byte_s: bytes times the seconds for which they have been kept.
        prices: the coordinator's.
    """
    sent = sum((usage.received_bytes for usage in used), ZERO)
    return _exact(sent * prices.gb_sent / GB + kept_byte_s * prices.gb_month / GB / MONTH_S)


def shown(money: Decimal) -> str:
    """Return money with two decimals."""
    return str(money.quantize(_CENT, ROUND_HALF_UP))


def shown_hours(seconds: Decimal) -> str:
    """Return seconds as hours with two decimals."""
    return shown(seconds / HOUR_S)


def budget_sentence(budget: BudgetSettings) -> str:
    """Say what a run may cost, as people read it."""
    if not budget.is_set:
        return "no limit"
    parts = [f"{shown(budget.money)} {budget.currency}"] if budget.money else []
    parts += [f"{budget.gpu_hours.normalize():f} GPU hours"] if budget.gpu_hours else []
    return " and ".join(parts)


def load_prices(settings: Path, environment: Mapping[str, str] | None = None) -> Prices:
    """Return the prices in a coordinator's server.toml, overridden by `FL_PRICES__KEY`; none where it cannot be read.

    The pages' account may be kept from this file, which can hold a password: then nothing has a price there.

    Raises: ConfigError: a price is wrong.
    """
    try:
        whole = tomllib.loads(settings.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        whole = {}
    found: dict[str, Any] = {"prices": whole.get("prices", {})}
    overlay(found, os.environ if environment is None else environment, _Priced)
    return validate(_Priced, found, str(settings)).prices


class _Priced(Section):
    prices: Prices = Prices()


def _exact(money: Decimal) -> Decimal:
    return money.quantize(_MILLIONTH, ROUND_HALF_UP)
