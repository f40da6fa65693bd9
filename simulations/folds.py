"""Who trains and who is tested, in a cohort of several hospitals: nobody is on both sides, under whatever name.

A person is all cases that share a pseudonym or their pixels with another of theirs, also at another site. Pseudonyms
that two sites gave to different people join them: that costs balance, never an honest test.

Dealt by our own lottery rather than scikit-learn's StratifiedGroupKFold, which keeps groups whole too but lets folds
differ by more than one person.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain

from core.errors import ConfigError, DataError
from fl_client.dataset import Cohort, Patient, handles_of, kind_of, split
from fl_client.persons import Handles, Persons

# A cohort: by site, its people.
Sites = Mapping[str, Sequence[Patient]]
# One person: by site, the cases there.
Person = dict[str, Patient]


@dataclass(frozen=True)
class Fold:
    """A part of a cohort that is tested, and the rest of it that is trained on.

    Attributes:
        name: `fold 2`, or `without north`.
        repeat: 1, 2, ...; each tests everybody once.
        train, test: by site, its people.
    """

    name: str
    repeat: int
    train: dict[str, tuple[Patient, ...]]
    test: dict[str, tuple[Patient, ...]]

    def cohorts(self, validation_fraction: float) -> dict[str, Cohort]:
        """Split each site's training people once more: what chooses the best round is never what is tested.

        Who is at several sites trains: no site can know that the patient it validates on trains elsewhere.

        Args:
            validation_fraction: share of a site's people that validate.
        Raises: DataError: a site is left without people to train or to validate on.
        """
        people = people_of(self.train)
        here = _by_site((person for person in people if len(person) == 1), self.train)
        elsewhere_too = _by_site((person for person in people if len(person) > 1), self.train)
        cohorts = {}
        for site in self.train:
            training, validation = split(here[site], validation_fraction)
            training += tuple(drawn.case for same in elsewhere_too[site] for drawn in same)
            if not training or not validation:
                raise DataError(
                    f"{self.name.capitalize()} leaves {site} with too few people to train and validate on: "
                    f"{len(here[site])} of its own, and {len(elsewhere_too[site])} whom another site names alike or "
                    "has a scan of",
                    fix="ask for more folds or leave the site out; where sites number their patients alike, put the "
                    "site's name before the number",
                )
            cohorts[site] = Cohort(training, validation, (), (*here[site], *elsewhere_too[site]))
        return cohorts


def people_of(sites: Sites) -> list[Person]:
    """Return who is in a cohort, each once."""
    known = [(site, same) for site in sorted(sites) for same in sites[site]]
    persons = Persons(_handles(same) for _, same in known)
    found: dict[str, dict[str, Patient]] = defaultdict(dict)
    for site, same in known:
        person = found[persons.of(_handles(same))]
        person[site] = tuple(sorted((*person.get(site, ()), *same), key=lambda drawn: drawn.ticket))
    return list(found.values())


def folds(sites: Sites, k: int, repeats: int, seed: int) -> tuple[Fold, ...]:
    """Deal a cohort's people out to folds, each of which is tested by what is trained on the others.

    People are sorted by site, methylation and tumor, draw lots within, and are dealt in turn: of each stratum, of each
    site's own people and of all, two folds of a repeat differ by one person at most.

    Args:
        sites: by site, its people.
        k: folds in a repeat.
        repeats: how often everybody is dealt out anew.
        seed: of the lots, which depend on nothing else but the scans.
    Returns: repeat by repeat, in each everybody is tested once.
    Raises: ConfigError: there are fewer people than folds, or fewer than two folds.
    """
    people = people_of(sites)
    if not 2 <= k <= len(people):
        raise ConfigError(f"{len(people)} people cannot be dealt out to {k} folds", fix="ask for 2 folds or a few more")
    return tuple(chain.from_iterable(_deal(people, sites, k, repeat, seed) for repeat in range(1, repeats + 1)))


def _deal(people: list[Person], sites: Sites, k: int, repeat: int, seed: int) -> Iterator[Fold]:
    dealt = sorted(people, key=lambda person: (stratum_of(person), _lot(person, repeat, seed)))
    for number in range(k):
        test = dealt[number::k]
        train = [person for place, person in enumerate(dealt) if place % k != number]
        yield Fold(f"fold {number + 1}", repeat, _by_site(train, sites), _by_site(test, sites))


def leave_one_site_out(sites: Sites) -> tuple[Fold, ...]:
    """Return a fold a site, whose people the others' model has never seen: who is there too does not train elsewhere.

    Raises: ConfigError: there is one site only.
    """
    if len(sites) < 2:
        raise ConfigError("Of one site none can be left out", fix="bring a cohort of two sites or more")
    people = people_of(sites)
    return tuple(
        Fold(
            f"without {left_out}",
            1,
            _by_site((person for person in people if left_out not in person), sites.keys() - {left_out}),
            _by_site((person for person in people if left_out in person), {left_out}),
        )
        for left_out in sorted(sites)
    )


def check_apart(fold: Fold) -> None:
    """Raise DataError where a pseudonym or a scan is both trained on and tested, at whatever sites."""
    trained, tested = (
        {handle for people in side.values() for same in people for handle in _handles(same)}
        for side in (fold.train, fold.test)
    )
    if shared := len(trained & tested):
        raise DataError(
            f"{fold.name.capitalize()} both trains on and tests {shared} pseudonym(s) or scan(s)",
            fix="deal the people out with simulations.folds, which keeps a person on one side",
        )


def stratum_of(person: Person) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Return what folds are balanced by: the person's sites, and the kind of the first case there."""
    sites = tuple(sorted(person))
    return sites, kind_of(person[sites[0]][0].case)


def _lot(person: Person, repeat: int, seed: int) -> str:
    scans = sorted(drawn.pixels for same in person.values() for drawn in same)
    return sha256(json.dumps([seed, repeat, scans]).encode()).hexdigest()


def _by_site(people: Iterable[Person], sites: Iterable[str]) -> dict[str, tuple[Patient, ...]]:
    """Return people's cases at each of these sites, in the order of their tickets, as `split` wants them."""
    found: dict[str, list[Patient]] = {site: [] for site in sorted(sites)}
    for person in people:
        for site in found.keys() & person.keys():
            found[site].append(person[site])
    return {site: tuple(sorted(known, key=lambda same: same[0].ticket)) for site, known in found.items()}


def _handles(same: Patient) -> Handles:
    return tuple(handle for drawn in same for handle in handles_of(drawn))
