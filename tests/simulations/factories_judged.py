"""Judged cases by hand."""

import numpy as np

from core.imaging.traits import Traits
from core.learning.lesions import LesionCounts
from simulations.evaluation import PLACES, USABLE, Judged, Known


def a_judged(
    mgmt=None, score=0.5, *, tumor=None, tumor_score=0.5, name="1", site="north", sex="female", age="60 to 69",
    scanner="SIEMENS Skyra", verdict=USABLE, ml=None, loss=1.0, lesions=None, dice=None,
):  # fmt: skip
    """One case; `lesions` are lesions, found and false positives of the whole tumor, `dice` its overlap."""
    counted, overlap = (), ()
    if lesions is not None:
        whole = LesionCounts(1, lesions[0], lesions[1], lesions[1] + lesions[2], lesions[2])
        counted, overlap = (*[LesionCounts(1)] * (len(PLACES) - 1), whole), (*[None] * (len(PLACES) - 1), dice)
    known = Known(name, site, Traits(sex, age, scanner), verdict, ml)
    labels, scores = {"mgmt": mgmt, "tumor": tumor}, {"mgmt": score, "tumor": tumor_score}
    return Judged(known, labels, scores, loss, np.zeros((3, 4, 4, 4), np.float32), counted, overlap)
