"""Which series is T1w, T1wCE, T2w or FLAIR, and how sure that is: by names, by words and by physics."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from core.errors import DicomError
from core.imaging.dicom import Series
from core.imaging.headers import number
from core.imaging.pixels import foreign_files
from core.imaging.volume import SEQUENCES

# The names people give files and folders; BraTS has changed its own twice.
_NAMES = {
    "T1w": ("t1", "t1w", "t1n", "t1wi"),
    "T1wCE": ("t1ce", "t1wce", "t1c", "t1gd", "t1wgd", "t1post", "t1km"),
    "T2w": ("t2", "t2w", "t2wi"),
    "FLAIR": ("flair", "t2f", "t2flair", "fla"),
}
_NAMED = {name: sequence for sequence, names in _NAMES.items() for name in names}
# Names of what lies beside the scans.
_NOT_SCANS = {"seg", "mask", "label", "labels", "tumor", "brain", "brainmask", "segmentation", "masks"}

# Words of descriptions, once `t1` and `t2` stand alone.
_FLAIR = re.compile(r"flair|tirm|dark.?fluid")
_T1 = re.compile(r"\bt1\b|mp.?rage|bravo|spgr|\btfl\b|vibe|\btfe\b")
_T2 = re.compile(r"\bt2\b")
_CONTRAST = re.compile(r"\b(post\w*|gd|gad|gado\w*|ce|contrast|enhanced|kontrast|km|c)\b|\+ ?c\b|gadolin")
_WITHOUT_CONTRAST = re.compile(r"\b(pre|precontrast|non|noncontrast|no|without|native?|wo)\b|w/o")
_OTHER = re.compile(
    r"\b(dwi|dti|adc|swi|swan|asl|tof|mra|mrv|bold|fmri|dsc|dce|perf\w*|diff\w*|trace\w*|locali\w+|loc|scout|survey|cbv|"
    r"cbf|mtt|ttp|fa|spectro\w*|svs|csi|pd(?!.*t2)|mip|fieldmap|phase|swip|haste|cal|calibration|gre|ffe|hemo|subtract\w*|"
    r"spine)\b|t2 *\*|t2 *star|3.?plane"
)

# How far each kind of evidence is believed when alone.
_EXACT, _NAME, _WORDS, _PHYSICS = 0.95, 0.9, 0.8, 0.6
# Of a contradiction's own weight, the share that it takes from the answer.
_DOUBT = 0.6
# What a reformatted series keeps of its confidence.
_DERIVED = 0.9


@dataclass(frozen=True)
class Guess:
    """What a series is.

    Attributes:
        sequence: one of SEQUENCES, or None where it is none of them or unknown.
        confidence: 0 to 1; one strong piece of evidence gives 0.8 to 0.95.
        because: the evidence for it and against it, in words without patient data.
    """

    sequence: str | None
    confidence: float
    because: tuple[str, ...]


def named(parts: Sequence[str]) -> Guess:
    """Return what the names of folders (or of a file, without its suffixes) say, the innermost first.

    A name counts as a whole, or by its last word: `BraTS2021_00000_t1ce` is T1wCE.
    """
    for part in reversed(parts):
        if part in SEQUENCES:
            return Guess(part, _EXACT, (f"its folder or file is named {part}",))
        words = re.split(r"[^a-z0-9]+", part.lower())
        if _NOT_SCANS & set(words):
            return Guess(None, 0.0, ())
        sequence = _NAMED.get("".join(words)) or _NAMED.get(words[-1])
        if sequence:
            return Guess(sequence, _NAME, (f"its folder or file name ends like a {sequence}'s",))
    return Guess(None, 0.0, ())


def identify(series: Series) -> Guess:
    """Return which sequence a series is, from its folder's name, its description and its timing.

    Agreement raises the confidence, contradiction lowers it and is noted.
    """
    header = series.header
    with foreign_files():
        modality = str(header.get("Modality") or "MR")
        if modality not in ("MR", "OT"):
            return Guess(None, 0.0, ("it is not MR",))
        if series.kind in ("localizer", "projection"):
            return Guess(None, 0.0, (f"its image type says {series.kind}",))
        votes = [vote for vote in (named(series.folder), _described(header), _timed(header)) if vote.because]
        agent = _contrast_agent(header)
    votes.sort(key=lambda vote: -vote.confidence)
    if not votes:
        return Guess(None, 0.0, ("neither name, description nor timing says what it is",))
    best = votes[0]
    sequence, wrong, because = best.sequence, 1 - best.confidence, list(best.because)
    # Timing cannot tell T1w from T1wCE, the contrast agent can.
    if agent and sequence == "T1w" and best.confidence < _NAME:
        sequence = "T1wCE"
        because.append("a contrast agent is recorded")
    elif agent and sequence == "T1w":
        wrong = 1 - (1 - wrong) * (1 - _DOUBT * _PHYSICS)
        because.append("but a contrast agent is recorded")
    elif agent and sequence == "T1wCE":
        wrong *= 1 - _PHYSICS
        because.append("a contrast agent is recorded")
    for vote in votes[1:]:
        if _compatible(vote, sequence):
            wrong *= 1 - vote.confidence
            because += vote.because
        else:
            wrong = 1 - (1 - wrong) * (1 - _DOUBT * vote.confidence)
            because += [f"but {reason}" for reason in vote.because]
    if series.kind == "derived":
        wrong = 1 - (1 - wrong) * _DERIVED
        because.append("but it is derived from other images")
    return Guess(sequence, round(1 - wrong, 3) if sequence else 0.0, tuple(because))


def choose(series: Sequence[Series]) -> dict[str, tuple[Series, Guess]]:
    """Pick one series a sequence: the surest, original before derived, the thinnest slices that cover the head.

    Returns: in the order of SEQUENCES, the chosen series and how sure its sequence is.
    Raises: DicomError: a sequence is missing; the fix lists what was found.
    """
    guesses = [(candidate, identify(candidate)) for candidate in series]
    chosen = {}
    for sequence in SEQUENCES:
        candidates = [(one, guess) for one, guess in guesses if guess.sequence == sequence]
        if candidates:
            chosen[sequence] = max(candidates, key=lambda candidate: preference(*candidate))
    missing = [sequence for sequence in SEQUENCES if sequence not in chosen]
    if missing:
        raise DicomError(
            f"The case has no {' and no '.join(missing)}",
            fix=f"add it, in a folder of that name; found: {_found(guesses)}",
        )
    return chosen


def preference(series: Series, guess: Guess) -> tuple[float, ...]:
    """Return what orders candidates for one sequence; larger is better."""
    thickness = number(series.header.get("SliceThickness"), 5.0)
    covers = min(series.slices * thickness, 120.0) if series.slices > 1 else 0.0
    plain = {"original": 2, "derived": 1}.get(series.kind, 0)
    return (round(guess.confidence, 1), plain, covers, series.slices)


def _found(guesses: Sequence[tuple[Series, Guess]]) -> str:
    """List what was found, by sequence and number of images."""
    known = [f"{guess.sequence} ({one.slices} images)" for one, guess in guesses if guess.sequence]
    unknown = [one.kind for one, guess in guesses if guess.sequence is None]
    for kind, called in (("localizer", "localizers"), ("projection", "projections")):
        if kind in unknown:
            known.append(f"{unknown.count(kind)} {called}")
    others = len([kind for kind in unknown if kind not in ("localizer", "projection")])
    return ", ".join(sorted(known) + ([f"{others} series of no known sequence"] if others else [])) or "nothing"


def _compatible(vote: Guess, sequence: str | None) -> bool:
    """Return whether a further piece of evidence supports a sequence; timing's T1w also supports T1wCE."""
    return vote.sequence == sequence or (vote.sequence == "T1w" and sequence == "T1wCE" and vote.confidence <= _PHYSICS)


def _described(header: Dataset) -> Guess:
    """Return what the series description and protocol say."""
    text = " ".join(str(header.get(name) or "") for name in ("SeriesDescription", "ProtocolName")).lower()
    # "sT1W_3D_TFE", "T1wCE" and "t2star" become words.
    text = re.sub(r"(?<![a-z]{2})t([12])w?(?![0-9])", r" t\1 ", text.replace("_", " "))
    contrast = bool(_CONTRAST.search(text)) and not _WITHOUT_CONTRAST.search(text)
    if _OTHER.search(text):
        return Guess(None, _WORDS, ("its description names another kind of scan",))
    if _T1.search(text):
        sequence = "T1wCE" if contrast else "T1w"
    elif _FLAIR.search(text):
        sequence = "FLAIR"
    elif _T2.search(text):
        sequence = "T2w"
    else:
        return Guess(None, 0.0, ())
    return Guess(sequence, _WORDS, (f"its description reads like {sequence}",))


def _timed(header: Dataset) -> Guess:
    """Return what echo, repetition and inversion times say (ms)."""
    echo, repetition = number(header.get("EchoTime"), -1.0), number(header.get("RepetitionTime"), -1.0)
    inversion = number(header.get("InversionTime"), 0.0)
    if echo < 0 or repetition < 0:
        return Guess(None, 0.0, ())
    said = (f"TE {echo:.0f} ms, TR {repetition:.0f} ms, TI {inversion:.0f} ms",)
    if echo >= 60 and repetition >= 4000 and inversion >= 1500:
        return Guess("FLAIR", _PHYSICS, said)
    if echo >= 60 and repetition >= 1500 and inversion < 1500:
        return Guess("T2w", _PHYSICS, said)
    # Long repetition without inversion is proton density; a gradient echo read late is T2*.
    short = repetition < 1500 or 0 < inversion < 1500
    if echo <= 30 and short and not (echo >= 12 and "GR" in str(header.get("ScanningSequence"))):
        return Guess("T1w", _PHYSICS, said)
    return Guess(None, 0.0, ())


def _contrast_agent(header: Dataset) -> bool:
    """Return whether a contrast agent is recorded (0018,0010)."""
    agent = str(header.get("ContrastBolusAgent") or "").strip().lower()
    return agent not in ("", "none", "no", "n", "without", "0", "no contrast", "non")
