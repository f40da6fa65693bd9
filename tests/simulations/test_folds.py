"""Nobody is trained on and tested, whatever pseudonyms and scans hospitals share."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from core.errors import ConfigError, DataError
from simulations.folds import check_apart, folds, leave_one_site_out, people_of, stratum_of
from tests.simulations.factories_people import a_scan, by_person, cases_of, hospitals

SITES = ("east", "north", "west")
LABELS = st.sampled_from([None, 0, 1])


@st.composite
def cohorts(draw):
    """Three hospitals whose pseudonyms and scans come from pools small enough to meet, within a site and across."""
    drawn = draw(
        st.lists(
            st.tuples(st.sampled_from(SITES), st.integers(0, 30), st.integers(0, 30), LABELS, LABELS),
            min_size=6,
            max_size=40,
        )
    )
    sites = {site: [] for site in SITES}
    seen = set()
    for site, name, scan, mgmt, tumor in drawn:
        if (site, name, scan) not in seen:  # a hospital holds a scan once under a name
            seen.add((site, name, scan))
            sites[site].append(a_scan(site, f"p{name}", scan, mgmt, tumor))
    return by_person(sites)


def naive_people(sites):
    """Join whoever shares a name or a scan, again and again until nothing changes."""
    groups = [{(site, id(drawn))} for site, drawn in cases_of(sites)]
    handles = [{drawn.patient, drawn.pixels} for _, drawn in cases_of(sites)]
    place = 0
    while place < len(groups):
        for other in range(place + 1, len(groups)):
            if handles[place] & handles[other]:
                groups[place] |= groups.pop(other)
                handles[place] |= handles.pop(other)
                place = -1
                break
        place += 1
    return {frozenset(group) for group in groups}


def members(person):
    return frozenset((site, id(drawn)) for site, same in person.items() for drawn in same)


@given(cohorts())
def test_a_person_is_whoever_shares_a_name_or_a_scan_at_any_site(sites):
    assert {members(person) for person in people_of(sites)} == naive_people(sites)


@given(cohorts(), st.integers(2, 5), st.integers(1, 3), st.integers(0, 9))
def test_in_each_repeat_everybody_is_tested_once_and_never_trained_on_by_the_same_fold(sites, k, repeats, seed):
    people = naive_people(sites)
    assume(len(people) >= k)
    dealt = folds(sites, k, repeats, seed)
    everybody = Counter((site, id(drawn)) for site, drawn in cases_of(sites))
    for repeat in range(1, repeats + 1):
        tested = [members(person) for fold in dealt if fold.repeat == repeat for person in people_of(fold.test)]
        assert len(tested) == len(people)
        assert set(tested) == people
    for fold in dealt:
        sides = [Counter((site, id(drawn)) for site, drawn in cases_of(side)) for side in (fold.train, fold.test)]
        assert sides[0] + sides[1] == everybody
        for attribute in ("patient", "pixels"):
            trained, tested = (
                {getattr(drawn, attribute) for _, drawn in cases_of(side)} for side in (fold.train, fold.test)
            )
            assert not trained & tested
        check_apart(fold)


@given(cohorts(), st.integers(2, 5), st.integers(0, 9))
def test_strata_and_folds_differ_by_one_person_at_most(sites, k, seed):
    people = people_of(sites)
    assume(len(people) >= k)
    place = {members(person): stratum_of(person) for person in people}
    strata = [Counter(place[members(person)] for person in people_of(fold.test)) for fold in folds(sites, k, 1, seed)]
    for stratum in place.values():
        counts = [counted[stratum] for counted in strata]
        assert max(counts) - min(counts) <= 1
    for site in SITES:  # its own people
        counts = [sum(n for (at, _), n in counted.items() if at == (site,)) for counted in strata]
        assert max(counts) - min(counts) <= 1
    sizes = [sum(counted.values()) for counted in strata]
    assert max(sizes) - min(sizes) <= 1


@given(cohorts(), st.integers(2, 4), st.sampled_from([0.2, 0.5]))
def test_the_inner_split_holds_the_training_people_and_nobody_is_on_two_of_its_sides(sites, k, fraction):
    assume(len(people_of(sites)) >= k)
    for fold in (*folds(sites, k, 1, 7), *leave_one_site_out(sites)):
        names = {id(drawn.case): drawn for _, drawn in cases_of(fold.train)}
        try:
            inner = fold.cohorts(fraction)
        except DataError:
            continue
        sides = [
            [names[id(case)] for cohort in inner.values() for case in getattr(cohort, side)]
            for side in ("training", "validation")
        ]
        assert len(sides[0]) + len(sides[1]) == len(names)
        for attribute in ("patient", "pixels"):
            assert not {getattr(drawn, attribute) for drawn in sides[0]} & {
                getattr(drawn, attribute) for drawn in sides[1]
            }


@given(cohorts())
def test_a_site_that_is_left_out_is_tested_whole_and_its_people_train_nowhere(sites):
    for fold in leave_one_site_out(sites):
        (left_out,) = fold.test
        assert fold.name == f"without {left_out}"
        assert left_out not in fold.train
        assert {id(drawn) for _, drawn in cases_of(fold.test)} == {
            id(drawn) for same in sites[left_out] for drawn in same
        }
        theirs = {members(person) for person in people_of(sites) if left_out not in person}
        assert {members(person) for person in people_of(fold.train)} == theirs
        check_apart(fold)


def test_a_scan_that_two_hospitals_hold_leaves_training_with_its_twin():
    sites = {site: [a_scan(site, f"{site}{n}", 10 * number + n) for n in range(4)] for number, site in enumerate("ab")}
    sites["b"].append(a_scan("b", "another name", 2))  # a's third scan
    with_b, without_b = leave_one_site_out(by_person(sites))
    assert [drawn.patient for _, drawn in cases_of(with_b.train) if drawn.patient == "another name"] == []
    assert {drawn.patient for _, drawn in cases_of(without_b.train)} == {"a0", "a1", "a3"}


def test_folds_depend_on_seed_and_repeat_and_not_on_the_order_of_anything():
    sites = hospitals({"north": 12, "south": 9})
    turned = {site: tuple(reversed(people)) for site, people in reversed(sites.items())}

    def tested(dealt):
        return [sorted(drawn.pixels for _, drawn in cases_of(fold.test)) for fold in dealt]

    first = tested(folds(sites, 3, 2, 7))
    assert tested(folds(turned, 3, 2, 7)) == first
    assert first[:3] != first[3:]
    assert tested(folds(sites, 3, 2, 8)) != first


def test_a_planted_twin_is_seen_whether_it_shares_a_name_or_pixels():
    fold = folds(hospitals({"north": 6, "south": 6}), 3, 1, 7)[0]
    victim = fold.test["north"][0][0]
    for twin in (replace(victim, patient="other"), replace(victim, pixels="others")):
        leaking = replace(fold, train={**fold.train, "south": (*fold.train["south"], (twin,))})
        with pytest.raises(DataError, match=r"Fold 1 both trains on and tests 1 pseudonym"):
            check_apart(leaking)


def test_what_cannot_be_dealt_is_refused_with_what_to_do():
    sites = hospitals({"north": 3, "south": 2})
    with pytest.raises(ConfigError, match="5 people cannot be dealt out to 6 folds"):
        folds(sites, 6, 1, 7)
    with pytest.raises(ConfigError, match="one site"):
        leave_one_site_out({"north": sites["north"]})
    with pytest.raises(DataError, match="leaves south with too few people"):
        folds(hospitals({"north": 8, "south": 2}), 2, 1, 7)[0].cohorts(0.2)


def test_hospitals_that_number_their_patients_alike_are_told_so():
    alike = {site: [a_scan(site, str(n), 10 * number + n) for n in range(6)] for number, site in enumerate("ab")}
    with pytest.raises(DataError, match=r"a with too few people .* 0 of its own, and 4 whom another") as told:
        folds(by_person(alike), 3, 1, 7)[0].cohorts(0.2)
    assert "put the site's name before the number" in told.value.fix
