"""A real cohort that was imported before -> the sites of a scenario, and patients whom none of them has.

Who tests is decided before anybody is dealt out, by person and label alone: scenarios that differ in how they deal a
cohort out, and share its seed and share held out, are measured on the same patients.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from core.errors import ConfigError, DataError
from core.imaging.reading import folders_of_cases, read_labels
from core.progress import Report, silent
from fl_client.persons import Persons
from simulations.cohorts import OUTSIDE, Hospitals, ImportedCohort
from simulations.public_import import Imported, read_import
from simulations.site_folders import labels_table, write_sites
from simulations.splits import deal_out

# By patient, everything that the patient is known by elsewhere.
People = Mapping[str, tuple[str, ...]]
# By site, its patients' folders with their labels.
Members = Mapping[str, Mapping[Path, int | None]]

_WORDS = {
    "iid": "dealt out evenly at random",
    "label": "dealt out by label (Dirichlet, alpha {alpha:g})",
    "quantity": "dealt out in unequal numbers (Dirichlet, alpha {alpha:g})",
    "scanner": "dealt out by scanner",
}


def make_imported(cohort: ImportedCohort, out: Path, report: Report = silent, *, outside: bool = True) -> Hospitals:
    """Deal an imported cohort out to sites, as hard links; what an earlier call dealt out alike is kept.

    Nobody outside is looked at or written where none is wanted; a later call that wants some adds them.

    Args:
        cohort: which import, and how.
        out: folder for OUT/<site>/ and OUT/outside/.
        report: told how far it is.
        outside: whether there must be somebody to test on; who is held out never trains, wanted or not.
    Raises:
        ConfigError: no such import, nobody to test on, or an `out` that holds something else.
        DataError: too few patients.
    """
    if cohort.folder is None:
        raise ConfigError(
            "The scenario does not say where its cohort is",
            fix="bring it with `fl-simulate import`, and name the folder that it wrote with --cohort",
        )
    imported, folders, labels = _read(cohort.folder)
    ours = {id_: folders[id_] for id_ in one_scan_each(imported.people) if id_ in folders}
    notes = [_left_out(len(folders) - len(ours), f"scan(s) of {imported.title} are of a patient with another one")]
    held_out = hold_out({id_: labels.get(id_) for id_ in ours}, cohort.held_out, cohort.seed)
    tests = {ours[id_]: labels[id_] for id_ in held_out}
    tested = f"of {imported.title} who were held out, the same share of each label, before the others were dealt out"
    if outside and cohort.external:
        tests, tested, told = _external(cohort.external, imported)
        notes += told
    if outside and not tests:
        raise ConfigError(
            "Nobody is left to measure the models on: cohort.held_out is 0 and there is no external cohort",
            fix="name another import with --external, or hold patients out",
        )
    training = {id_: folder for id_, folder in ours.items() if id_ not in held_out}
    # A CSV may name those who are held out, and scans that were left out; they stay apart.
    named = folders if cohort.by_csv else training
    sites = _deal(cohort, named, training, labels, report)
    members = {site: {ours[id_]: labels.get(id_) for id_ in ids} for site, ids in sites.items()}
    if outside:
        members[OUTSIDE] = tests
    if missing := _not_there(out, members):
        write_sites(out, missing, report)
    sizes = [str(len(ids)) for ids in sites.values()]
    counted = " and ".join(filter(None, (", ".join(sizes[:-1]), sizes[-1])))
    plural = "s" if len(sites) > 1 else ""
    how = _WORDS.get(cohort.split, "dealt out as a CSV says").format(alpha=cohort.alpha)
    return Hospitals(
        sites=tuple(sites),
        trained=f"{len(sites)} site{plural} with {counted} real patients of {imported.title}, {how}",
        tested=tested,
        notes=tuple(filter(None, notes)),
    )


def one_scan_each(people: People, known: People | None = None) -> list[str]:
    """Return one scan a person, the first, of people of whom none is among the known.

    Who shares a name with somebody, here or in another cohort, is that person.
    """
    persons = Persons((id_, *also) for group in (known or {}, people) for id_, also in group.items())
    seen = {persons.of((id_,)) for id_ in known or {}}
    first: dict[str, str] = {}
    for id_ in sorted(people):
        if (person := persons.of((id_,))) not in seen:
            first.setdefault(person, id_)
    return list(first.values())


def hold_out(labels: Mapping[str, int | None], share: float, seed: int) -> list[str]:
    """Draw who never trains: a share of each label's patients, at least one; who has no label can test nothing.

    Raises: DataError: a label with fewer than two patients.
    """
    if share == 0:
        return []
    rng, chosen = np.random.default_rng([seed, 1]), []
    for label, word in ((0, "unmethylated"), (1, "methylated")):
        members = sorted(id_ for id_, own in labels.items() if own == label)
        if len(members) < 2:
            raise DataError(
                f"The cohort has {len(members)} {word} patient(s): one to train on and one to hold out are the least",
                fix="import more patients, or hold nobody out (cohort.held_out = 0) and name another import to test on",
            )
        wanted = min(max(1, round(share * len(members))), len(members) - 1)
        chosen += [str(id_) for id_ in rng.permutation(members)[:wanted]]
    return sorted(chosen)


def _external(folder: Path, ours: Imported) -> tuple[dict[Path, int | None], str, list[str]]:
    """Return another cohort's labeled patients whom ours does not share, who they are, and what is not known."""
    theirs, folders, labels = _read(folder)
    apart = one_scan_each(theirs.people, ours.people)
    labeled = {folders[id_]: labels[id_] for id_ in apart if id_ in folders and labels.get(id_) is not None}
    if not labeled:
        raise DataError(
            f"{folder} has no patient with a methylation label who is not in the other cohort",
            fix="name an import of another cohort with --external",
        )
    notes = [
        _left_out(len(folders) - len(apart), f"patient(s) of {theirs.title} are in {ours.title} too, or there twice"),
        _left_out(len(apart) - len(labeled), f"patient(s) of {theirs.title} have no methylation label"),
    ]
    unknown = [
        f"Who of {one.title} is in BraTS 2021 too, as patients of {other.title} may be, is unknown: whoever is in both "
        f"cannot be left out, may have trained, and flatters every model. To make it known, {one.layout.told_by}."
        for one, other in ((theirs, ours), (ours, theirs))
        if not one.told
    ]
    whose = "some of whom may have trained" if unknown else f"without those known to be in {ours.title} too"
    return labeled, f"of {theirs.title}, {whose}", notes + unknown


def _deal(
    cohort: ImportedCohort,
    named: Mapping[str, Path],
    training: Mapping[str, Path],
    labels: Mapping[str, int | None],
    report: Report,
) -> dict[str, list[str]]:
    """Deal out who is named, and keep who trains."""
    dealt = deal_out(
        named, labels, cohort.sites, cohort.split, alpha=cohort.alpha, seed=cohort.seed, report=report
    )  # fmt: skip
    sites = {site: [id_ for id_ in ids if id_ in training] for site, ids in dealt.items()}
    if OUTSIDE in sites:
        raise ConfigError(f"The CSV calls a site {OUTSIDE}, which no site can be called", fix="call it otherwise")
    if small := {site: len(ids) for site, ids in sites.items() if len(ids) < 2}:
        site, patients = next(iter(small.items()))
        raise DataError(
            f"{site} would have {patients} patient(s); one to train on and one to validate on are the least",
            fix="ask for fewer sites, another way to split, a larger alpha or another seed",
        )
    return sites


def _read(folder: Path) -> tuple[Imported, dict[str, Path], dict[str, int | None]]:
    imported = read_import(folder)
    folders = {path.name: path for path in folders_of_cases(folder)}
    return imported, folders, read_labels(folder / "train_labels.csv")


def _not_there(out: Path, members: Members) -> Members:
    """Return the sites that are not dealt out yet; patients outside do not matter to a call that wants none.

    Raises: ConfigError: others are.
    """
    tables = {
        site: labels_table({folder.name: label for folder, label in patients.items()})
        for site, patients in members.items()
    }
    there = {path.name: _text(path / "train_labels.csv") for path in out.glob("[!.]*")}
    if any(tables.get(site) != table for site, table in there.items() if site in members or site != OUTSIDE):
        raise ConfigError(
            f"{out} holds patients who were dealt out otherwise", fix="name a new folder with --out, or delete that one"
        )
    return {site: patients for site, patients in members.items() if site not in there}


def _text(table: Path) -> str:
    return table.read_text("utf-8") if table.is_file() else ""


def _left_out(count: int, what: str) -> str:
    return f"{count} {what}: left out." if count else ""
