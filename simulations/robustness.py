"""What a model is worth on worse scans: its AUC as each thing that may be wrong with a scan grows, beside clean scans.

Every corruption is put onto the same patients, so that each step is compared with the clean scans patient by patient.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from core.learning.calibration import UNDECIDED, Calibration, calibrated
from core.learning.cases import TrainingCase
from core.learning.curves import auc, auc_interval
from core.learning.differences import AucDifference, delong_test, holm_of
from core.learning.intervals import Interval
from core.learning.likeness import unlike
from core.learning.metrics import THRESHOLD
from core.progress import Report, silent
from core.report import Part, Picture, Table
from simulations.corruptions import CORRUPTIONS, Corruption, Image, corrupted
from simulations.plots import COLORS, STYLE, png
from simulations.repeatability import BATCH, Scorer, logit

CLEAN = "as they are"
COLUMNS = 3


@dataclass(frozen=True)
class Effect:
    """What one corruption of one severity does to a model.

    Attributes:
        corruption, unit, severity: which; CLEAN, "" and 0 for the scans as they are.
        cases: how many patients.
        auc, interval: with its 95 % interval; None without both classes.
        difference: its area less that of the clean scans, on the same patients (DeLong); None for the clean ones.
        shift: mean absolute change of a patient's logit.
        flipped: share of patients whose answer at one half changes.
        unlike: share of scans that are told to be unlike the validation patients'; None without a calibration.
        undecided: share of scans that get no answer, like or unlike; None without a calibration.
    """

    corruption: str
    unit: str
    severity: float
    cases: int
    auc: float | None
    interval: Interval | None
    difference: AucDifference | None
    shift: float
    flipped: float
    unlike: float | None
    undecided: float | None


@dataclass(frozen=True)
class _Seen:
    """Probabilities float64 [cases], and of each case whether it was unlike the others or got no answer."""

    scores: NDArray[np.float64]
    unlike: list[bool]
    undecided: list[bool]


def robustness(
    score: Scorer,
    cases: Sequence[TrainingCase],
    calibration: Calibration | None = None,
    corruptions: Sequence[Corruption] = CORRUPTIONS,
    seed: int = 0,
    report: Report = silent,
) -> tuple[Effect, ...]:
    """Score held-out cases as they are, then with each corruption in its severities.

    Args:
        score: the model.
        cases: held out; those without a methylation label are left out.
        calibration: of the model's version, which knows what the validation patients' scans look like.
        corruptions: what may be wrong.
        seed: of what is random in them, with each case's place.
        report: told after each severity.
    Returns: the clean scans first.
    """
    labeled = [case for case in cases if case.mgmt is not None]
    labels = [int(case.mgmt or 0) for case in labeled]
    steps = [(corruption, severity) for corruption in corruptions for severity in corruption.severities]

    def see(corruption: Corruption | None, severity: float) -> _Seen:
        return _see(score, _changed(labeled, corruption, severity, seed), calibration)

    clean = see(None, 0)
    report("robustness", 1, len(steps) + 1)
    effects = [_effect(CLEAN, "", 0, labels, clean, None)]
    for done, (corruption, severity) in enumerate(steps, 2):
        effects.append(
            _effect(corruption.name, corruption.unit, severity, labels, see(corruption, severity), clean.scores)
        )
        report("robustness", done, len(steps) + 1)
    return tuple(effects)


def _changed(
    cases: Sequence[TrainingCase], corruption: Corruption | None, severity: float, seed: int
) -> Iterator[list[Image]]:
    """Yield the cases' images, a batch at a time."""
    for start in range(0, len(cases), BATCH):
        images = [case.image.numpy() for case in cases[start : start + BATCH]]
        if corruption is not None:
            # A patient has the same noise at every severity, and another than any other patient.
            seeds = [int(np.random.default_rng([seed, start + place]).integers(2**63)) for place in range(len(images))]
            images = [corrupted(image, corruption, severity, own) for image, own in zip(images, seeds, strict=True)]
        yield images


def _see(score: Scorer, batches: Iterator[list[Image]], calibration: Calibration | None) -> _Seen:
    scores: list[float] = []
    strange: list[bool] = []
    for images in batches:
        scores += score(images)
        if calibration is not None:
            strange += [bool(unlike(calibration.likeness, image, calibration.validated_on)) for image in images]
    answers = [] if calibration is None else [calibrated(calibration, "mgmt", each).decision for each in scores]
    undecided = [answer in (UNDECIDED, None) for answer in answers]
    return _Seen(np.asarray(scores, np.float64), strange, undecided)


def _effect(
    name: str, unit: str, severity: float, labels: Sequence[int], seen: _Seen, clean: NDArray[np.float64] | None
) -> Effect:
    before = seen.scores if clean is None else clean
    return Effect(
        name,
        unit,
        severity,
        len(labels),
        auc(labels, seen.scores),
        auc_interval(labels, seen.scores),
        None if clean is None else delong_test(labels, seen.scores, clean),
        float(np.abs(logit(seen.scores) - logit(before)).mean()),
        float(((seen.scores >= THRESHOLD) != (before >= THRESHOLD)).mean()),
        float(np.mean(seen.unlike)) if seen.unlike else None,
        float(np.mean(seen.undecided)) if seen.undecided else None,
    )


def robustness_part(effects: Sequence[Effect]) -> Part:
    """Return what a report says of worse scans: a table and a picture; p-values are Holm's, over all rows."""
    p_values = holm_of([effect.difference for effect in effects])
    checked = effects[0].unlike is not None
    header = ["scans", "severity", "AUC", "95 % interval", "change", "p (Holm)", "|change|, logit", "answers that flip"]
    header += ["unlike", "undecided"] if checked else []
    rows = [_row(effect, p) for effect, p in zip(effects, p_values, strict=True)]
    told = f"The same {effects[0].cases} held-out patients, their prepared scans changed."
    caption = "AUC with its 95 % interval as each thing grows; dashed: the scans as they are"
    if checked:
        told += (
            " Unlike: the check that runs beside the model says so of the scan. Undecided: the calibrated model gives "
            "no answer, whatever that check says."
        )
        caption += "; orange: share of scans that the check beside the model calls unlike its validation patients'"
    return Part("Worse scans", (told, Table(header, rows, frozenset({0})), Picture(draw_robustness(effects), caption)))


def _row(effect: Effect, p: float | None) -> tuple[str, ...]:
    return (
        effect.corruption,
        f"{effect.severity:g} {effect.unit}" if effect.unit else "",
        _text(effect.auc),
        "-" if effect.interval is None else "{:.2f} to {:.2f}".format(*effect.interval),
        "" if effect.difference is None else f"{effect.difference.difference:+z.3f}",
        "" if p is None else f"{p:.2g}",
        f"{effect.shift:.2f}",
        f"{effect.flipped:.0%}",
        *(f"{share:.0%}" for share in (effect.unlike, effect.undecided) if share is not None),
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def draw_robustness(effects: Sequence[Effect]) -> bytes:
    """Draw AUC over severity, a panel a corruption, each beginning with the clean scans."""
    clean, names = effects[0], list(dict.fromkeys(effect.corruption for effect in effects[1:]))
    with mpl.rc_context(STYLE):
        rows = max(1, ceil(len(names) / COLUMNS))
        figure = Figure((9, 2.3 * rows), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flat
        for name, axes in zip(names, panels, strict=False):
            _panel(axes, name, [clean, *(effect for effect in effects if effect.corruption == name)])
        for axes in list(panels)[len(names) :]:
            axes.set_axis_off()
        return png(figure)


def _panel(axes: Axes, name: str, effects: Sequence[Effect]) -> None:
    """Draw one corruption; steps are evenly spaced, whatever they amount to."""
    places = range(len(effects))
    values = [np.nan if effect.auc is None else effect.auc for effect in effects]
    axes.axhline(values[0], color="0.6", linestyle="--", linewidth=0.8, zorder=0)
    axes.axhline(0.5, color="0.85", linewidth=0.8, zorder=0)
    for place, effect in zip(places, effects, strict=True):
        if effect.interval is not None:
            axes.plot([place, place], effect.interval, color=COLORS[0], linewidth=2, alpha=0.4)
    axes.plot(places, values, "o-", color=COLORS[0], markersize=4)
    told = [effect.unlike for effect in effects if effect.unlike is not None]
    if len(told) == len(effects):
        axes.plot(places, told, "s:", color=COLORS[1], markersize=3)
    axes.set(title=name, xlabel=effects[-1].unit, ylim=(-0.03, 1.03), xlim=(-0.3, len(effects) - 0.7))
    axes.set_xticks(list(places), [f"{effect.severity:g}" for effect in effects])
