"""Scanner profiles: how each synthetic hospital takes its four sequences and writes its headers.

The first four are like what four makers' machines send; every later hospital has one of these machines, set up in its
own way.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from core.imaging.volume import SEQUENCES

Plane = Literal["axial", "sagittal", "coronal"]
Syntax = Literal["explicit", "implicit", "rle", "jpeg2000"]
Numbering = Literal["upwards", "downwards", "interleaved", "shuffled"]

# A coarse scan: what a demonstration on a laptop can afford.
COARSE_MATRIX = 128
COARSE_PIXEL = 1.875
COARSE_SLICE = 5.0
THIN = 1.6  # mm; slices up to this come from a 3D acquisition


@dataclass(frozen=True)
class Protocol:
    """How one sequence is taken.

    Attributes:
        description: what the console writes as SeriesDescription.
        plane: the slices' orientation.
        matrix: rows and columns of a slice.
        pixel: mm between pixel centers.
        thickness: mm of tissue that a slice averages.
        step: mm between slice centers.
    """

    description: str
    plane: Plane
    matrix: int
    pixel: float
    thickness: float
    step: float


@dataclass(frozen=True)
class Scanner:
    """One hospital's machine and its habits.

    Attributes:
        manufacturer, model, tesla: as in the header.
        protocols: one for each of SEQUENCES, in that order.
        gain: stored value of normal white matter on T1w, before rescaling.
        noise: standard deviation of the receiver's noise, as a share of white matter.
        bias: largest logarithm of the coil's smooth shading.
        contrast: seeds this machine's own tissue contrasts.
        gamma: exponent of the console's brightness curve.
        syntax: how pixels are stored.
        slope: RescaleSlope, 1 where the header has none.
        numbering: how file numbers run along the slices.
        sparse: whether the header leaves out what DICOM does not demand.
    """

    manufacturer: str
    model: str
    tesla: float
    protocols: tuple[Protocol, Protocol, Protocol, Protocol]
    gain: float
    noise: float
    bias: float
    contrast: int
    gamma: float = 1.0
    syntax: Syntax = "explicit"
    slope: float = 1.0
    numbering: Numbering = "upwards"
    sparse: bool = False

    def protocol(self, sequence: str) -> Protocol:
        """Return how this machine takes a sequence."""
        return self.protocols[SEQUENCES.index(sequence)]


SIEMENS = Scanner(
    "SIEMENS",
    "Skyra",
    3.0,
    (
        Protocol("t1_tse_tra", "axial", 256, 0.9375, 3.0, 3.3),
        Protocol("t1_mprage_tra_iso_KM", "axial", 256, 0.9375, 1.0, 1.0),
        Protocol("t2_tse_tra", "axial", 384, 0.6, 3.0, 3.3),
        Protocol("t2_flair_tra_fs", "axial", 320, 0.72, 3.0, 3.3),
    ),
    gain=900,
    noise=0.015,
    bias=0.25,
    contrast=1,
    numbering="shuffled",
)
GE = Scanner(
    "GE MEDICAL SYSTEMS",
    "SIGNA HDxt",
    1.5,
    (
        Protocol("Sag T1", "sagittal", 256, 0.9375, 5.0, 6.5),
        Protocol("Ax T1 POST GD", "axial", 256, 0.9375, 3.0, 3.0),
        Protocol("Ax T2 FSE", "axial", 512, 0.4297, 5.0, 6.5),
        Protocol("Ax T2 FLAIR", "axial", 256, 0.8594, 5.0, 6.5),
    ),
    gain=2400,
    noise=0.03,
    bias=0.35,
    contrast=2,
    syntax="implicit",
    numbering="downwards",
)
PHILIPS = Scanner(
    "Philips Medical Systems",
    "Achieva",
    3.0,
    (
        Protocol("T1W_TSE", "axial", 288, 0.8, 5.0, 6.0),
        Protocol("3D_T1W_TFE_GD", "sagittal", 256, 1.0, 1.0, 1.0),
        Protocol("T2W_TSE", "axial", 400, 0.575, 4.0, 5.0),
        Protocol("FLAIR_longTR", "coronal", 288, 0.8, 5.0, 6.0),
    ),
    gain=350,
    noise=0.02,
    bias=0.40,
    contrast=3,
    syntax="rle",
    slope=2.5,
    numbering="interleaved",
)
TOSHIBA = Scanner(
    "TOSHIBA_MEC",
    "Vantage Titan",
    1.5,
    (
        Protocol("T1 SE AX", "axial", 320, 0.72, 6.0, 7.0),
        Protocol("T1 SE AX +C", "axial", 320, 0.72, 6.0, 7.0),
        Protocol("T2 FSE AX", "axial", 320, 0.72, 6.0, 7.0),
        Protocol("FLAIR 3D MPV", "sagittal", 256, 1.0, 1.2, 1.2),
    ),
    gain=500,
    noise=0.035,
    bias=0.20,
    contrast=4,
    gamma=0.9,
    syntax="jpeg2000",
    numbering="shuffled",
    sparse=True,
)
SCANNERS = (SIEMENS, GE, PHILIPS, TOSHIBA)


def scanner_of(hospital: int, coarse: bool = False) -> Scanner:
    """Return the machine of the hospital with this number, counted from 0."""
    scanner = SCANNERS[hospital % len(SCANNERS)]
    if hospital >= len(SCANNERS):
        rng = np.random.default_rng([hospital, 97])
        gain, noise, bias = np.exp(rng.normal(0, 0.25, 3)) * (scanner.gain, scanner.noise, scanner.bias)
        scanner = replace(scanner, gain=float(gain), noise=float(noise), bias=float(bias), contrast=hospital + 1)
    return coarsened(scanner) if coarse else scanner


def coarsened(scanner: Scanner) -> Scanner:
    """Return the same machine in a hurry: small matrices, few slices, and 3D acquisitions taken as axial slices."""
    t1w, t1wce, t2w, flair = (
        Protocol(
            protocol.description,
            protocol.plane if protocol.thickness > THIN else "axial",
            COARSE_MATRIX,
            COARSE_PIXEL,
            COARSE_SLICE,
            COARSE_SLICE,
        )
        for protocol in scanner.protocols
    )
    return replace(scanner, protocols=(t1w, t1wce, t2w, flair))
