"""A scan as DICOM files, with the habits of the scanner that took it.

Source: DICOM PS3.3 C.7.6.2 (image plane) and C.8.3 (MR image), PS3.5 annex G (RLE).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from core.imaging.volume import SEQUENCES, Volume
from simulations.patients import sex_and_age
from simulations.scanners import THIN, Scanner

SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg2000": JPEG2000Lossless,
}
# ScanningSequence, SequenceVariant, EchoTime and RepetitionTime (ms).
TIMING = {
    "T1w": ("SE", "NONE", 10, 500),
    "T1wCE": ("GR", "MP", 3, 1900),
    "T2w": ("SE", "SK", 100, 4500),
    "FLAIR": (["SE", "IR"], "SK", 120, 9000),
}


def write_series(
    volume: Volume, folder: Path, identity: str, seed: tuple[int, ...], sequence: str, scanner: Scanner
) -> None:
    """Write one sequence as `Image-<n>.dcm` files; equal arguments give equal bytes.

    Args:
        volume: whole numbers times the scanner's slope.
        folder: made where it is missing.
        identity: the patient's.
        seed: the patient's entropy, from which all UIDs come.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = np.round(volume.voxels / np.float32(scanner.slope)).astype("<u2")
    header = _header(volume, stored, identity, seed, sequence, scanner)
    normal = volume.direction[:, 2] * volume.spacing[2]
    for index, number in enumerate(file_numbers(len(stored), scanner, seed)):
        position = np.array(volume.origin) + normal * index
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = _uid(seed, sequence, str(index))
        header.InstanceNumber = number
        header.ImagePositionPatient = _decimals(position)
        if not scanner.sparse:
            header.SliceLocation = _decimals([float(position @ volume.direction[:, 2])])[0]
        header.PixelData = _pixel_data(stored[index], scanner)
        header["PixelData"].is_undefined_length = scanner.syntax in ("rle", "jpeg2000")
        header.save_as(folder / f"Image-{number}.dcm", enforce_file_format=True)


def file_numbers(slices: int, scanner: Scanner, seed: tuple[int, ...]) -> list[int]:
    """Return each slice's file number, from 1, in the order of the slices."""
    numbers = np.arange(1, slices + 1)
    if scanner.numbering == "downwards":
        numbers = numbers[::-1]
    elif scanner.numbering == "interleaved":
        # Every second slice is taken first, so that neighbors do not excite each other.
        numbers = np.argsort(np.r_[0:slices:2, 1:slices:2]) + 1
    elif scanner.numbering == "shuffled":
        numbers = np.random.default_rng([*seed, slices]).permutation(numbers)
    return [int(number) for number in numbers]


def _header(
    volume: Volume, stored: NDArray[np.uint16], identity: str, seed: tuple[int, ...], sequence: str, scanner: Scanner
) -> FileDataset:
    """Return what all slices of a series share."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = SYNTAXES[scanner.syntax]
    meta.ImplementationClassUID = UID("1.2.826.0.1.3680043.8.498.1")
    header = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    header.SpecificCharacterSet = "ISO_IR 100"
    header.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    header.SOPClassUID = MRImageStorage
    header.StudyDate = header.SeriesDate = "20010101"
    header.StudyTime = "000000"
    header.AccessionNumber = header.ReferringPhysicianName = ""
    header.Modality = "MR"
    header.Manufacturer = scanner.manufacturer
    header.ManufacturerModelName = scanner.model
    header.SeriesDescription = scanner.protocol(sequence).description
    header.PatientName = header.PatientID = identity
    header.PatientBirthDate = ""
    header.PatientSex, age = sex_and_age(seed)
    header.PatientAge = f"{age:03}Y"
    header.PatientPosition = "HFS"
    header.StudyInstanceUID = _uid(seed, "study")
    header.SeriesInstanceUID = _uid(seed, sequence)
    header.FrameOfReferenceUID = _uid(seed, "frame")
    header.PositionReferenceIndicator = ""
    header.StudyID = "1"
    header.SeriesNumber = SEQUENCES.index(sequence) + 1
    _add_acquisition(header, sequence, scanner)
    _add_pixels(header, volume, stored, scanner)
    return header


def _add_acquisition(header: FileDataset, sequence: str, scanner: Scanner) -> None:
    """Write how the sequence was taken."""
    protocol = scanner.protocol(sequence)
    scanning, variant, echo, repetition = TIMING[sequence]
    header.ScanningSequence = scanning
    header.SequenceVariant = variant
    header.ScanOptions = ""
    header.MRAcquisitionType = "3D" if protocol.thickness <= THIN else "2D"
    header.EchoTime = echo
    header.RepetitionTime = repetition
    header.EchoTrainLength = 1
    header.MagneticFieldStrength = scanner.tesla
    header.SliceThickness = protocol.thickness
    if sequence == "FLAIR":
        header.InversionTime = 2500
    if not scanner.sparse:
        header.SpacingBetweenSlices = protocol.step
        if sequence == "T1wCE":
            header.ContrastBolusAgent = "Gadolinium"


def _add_pixels(header: FileDataset, volume: Volume, stored: NDArray[np.uint16], scanner: Scanner) -> None:
    """Write the slices' orientation and how their pixels are to be read."""
    header.ImageOrientationPatient = _decimals([*volume.direction[:, 0], *volume.direction[:, 1]])
    header.PixelSpacing = _decimals([volume.spacing[1], volume.spacing[0]])
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = stored.shape[1:]
    header.BitsAllocated = 16
    header.BitsStored = 12 if stored.max() < 4096 else 16
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = 0
    if scanner.slope != 1:
        header.RescaleIntercept = 0
        header.RescaleSlope = scanner.slope
        header.RescaleType = "normalized"
    bright = float(np.percentile(stored[::2, ::4, ::4], 99.5)) * scanner.slope
    header.WindowCenter = max(1, round(bright / 2))
    header.WindowWidth = max(1, round(bright))


def _pixel_data(pixels: NDArray[np.uint16], scanner: Scanner) -> bytes:
    """Return a slice's pixels in the scanner's transfer syntax."""
    if scanner.syntax == "rle":
        return encapsulate([_rle(pixels)])
    if scanner.syntax == "jpeg2000":
        frame = get_encoder(JPEG2000Lossless).encode(
            pixels,
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=1,
            photometric_interpretation="MONOCHROME2",
            bits_allocated=16,
            bits_stored=16,
            pixel_representation=0,
            number_of_frames=1,
        )
        return encapsulate([frame])
    return pixels.tobytes()


def _rle(pixels: NDArray[np.uint16]) -> bytes:
    """Return pixels in DICOM's run-length code, which our decoder reads and no library writes fast.

    Source: PS3.5 G.3 to G.5: high bytes, then low bytes, each row by itself in runs of at most 128 bytes.
    """
    segments = []
    for plane in (pixels >> 8, pixels & 255):
        pieces = []
        for row in plane.astype(np.uint8):
            for start in range(0, len(row), 128):
                run = row[start : start + 128]
                if len(run) > 1 and (run == run[0]).all():
                    pieces.append(bytes([257 - len(run), run[0]]))
                else:
                    pieces.append(bytes([len(run) - 1]) + run.tobytes())
        segment = b"".join(pieces)
        segments.append(segment + bytes(len(segment) % 2))
    offsets = np.zeros(16, "<u4")
    offsets[:3] = 2, 64, 64 + len(segments[0])
    return offsets.tobytes() + b"".join(segments)


def _uid(seed: tuple[int, ...], *names: str) -> UID:
    return generate_uid(entropy_srcs=[*(str(part) for part in seed), *names])


def _decimals(values: Iterable[float]) -> list[str]:
    """Return numbers as DICOM's decimal strings, at most 16 characters each."""
    return [f"{value:.9g}" for value in values]
