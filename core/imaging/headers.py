"""The header of one DICOM file, parsed within limits, and where it says its images lie."""

import zlib
from pathlib import Path

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.filereader import read_dataset, read_preamble

from core.errors import DataError, DicomError
from core.imaging.pixels import FOREIGN, check_size, foreign_files, tags
from core.imaging.stack import Frame

MAX_FILE_BYTES = 2**30
# A deflated file is inflated whole by the parser, pixels included.
MAX_INFLATED_BYTES = 2**28
_PIECE = 2**20

_HEADER = (
    "ImageType SOPClassUID SOPInstanceUID StudyDate Modality Manufacturer ManufacturerModelName SeriesDescription "
    "ProtocolName SequenceName ContrastBolusAgent ScanningSequence SliceThickness RepetitionTime EchoTime "
    "InversionTime PatientID PatientName PatientSex PatientAge StudyInstanceUID SeriesInstanceUID SamplesPerPixel "
    "PhotometricInterpretation NumberOfFrames Rows Columns BitsAllocated PixelSpacing ImagePositionPatient "
    "ImageOrientationPatient RescaleSlope RescaleIntercept SharedFunctionalGroupsSequence "
    "PerFrameFunctionalGroupsSequence"
)
_AGAIN = "send or export the series again"


def image_headers(path: Path) -> list[Dataset]:
    """Return the header of an image file in a list, or an empty list where the file is no DICOM image.

    Reports, structures and directories are DICOM but no images; a file without the preamble may be one.

    Raises:
        DataError: the file cannot be opened or read.
        DicomError: DICOM, but damaged, or larger than is read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(132)
    except OSError as error:
        raise unreadable(error) from None
    marked = start[128:] == b"DICM"
    # Without a preamble a file begins with group 2 or 8, little endian, element 00xx.
    if not (marked or (start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00")):
        return []
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DicomError(f"A file is larger than {MAX_FILE_BYTES} bytes", fix="name the folder of one patient's MRI")
    try:
        with foreign_files():
            _check_inflated(path)
            header = dcmread(path, force=True, stop_before_pixels=True, specific_tags=tags(_HEADER))
            kind = uid.UID(str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or ""))
            # Values are parsed when first asked for: asked here, what is damaged is found here.
            for element in header:
                element.value  # noqa: B018
            if "Rows" in header and "Columns" in header:
                check_size(header.Rows, header.Columns, frame_count(header))
                return [header]
    except FOREIGN as error:
        if isinstance(error, DicomError):
            raise
        kind = uid.UID("")
    if marked and (not kind or kind.name.endswith("Image Storage")):
        raise DicomError("A DICOM file is cut short or damaged", fix=_AGAIN)
    return []


def unreadable(error: OSError) -> DataError:
    """Return the refusal of what the disk or its permissions withhold; without its name, which may be the patient's."""
    return DataError(
        f"A file or folder of the case cannot be read ({error.strerror or type(error).__name__})",
        fix="let this account read the patient's folder and every file in it, and check the disk",
    )


def _check_inflated(path: Path) -> None:
    """Refuse a deflated file that would fill the memory, by inflating it piece by piece beforehand."""
    with path.open("rb") as stream:
        read_preamble(stream, force=True)
        meta = read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2)
        if meta.get("TransferSyntaxUID") != uid.DeflatedExplicitVRLittleEndian:
            return
        inflater, size = zlib.decompressobj(-zlib.MAX_WBITS), 0
        while piece := inflater.unconsumed_tail or stream.read(_PIECE):
            size += len(inflater.decompress(piece, _PIECE))
            if size > MAX_INFLATED_BYTES:
                raise DicomError(
                    f"A deflated file inflates to more than {MAX_INFLATED_BYTES} bytes",
                    fix="export the series uncompressed (Explicit VR Little Endian)",
                )


def number(value: object, otherwise: float) -> float:
    """Return a header's value as a number; absent, empty or unreadable ones count as `otherwise`."""
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return otherwise


def frame_count(header: Dataset) -> int:
    """Return how many images a file holds."""
    return int(number(header.get("NumberOfFrames"), 1))


def frames(path: Path, header: Dataset) -> list[Frame]:
    """Return the planes of one file with their geometry, from its functional groups where it has several.

    Raises: DicomError: a plane's position, orientation, spacing or rescaling is absent or no number.
    Source: PS3.3 C.7.6.2 (image plane), C.7.6.16 (multi-frame functional groups).
    """
    try:
        with foreign_files():
            return _frames(path, header)
    except FOREIGN:
        # What lies within a sequence is parsed no earlier than here.
        raise DicomError("A DICOM file is cut short or damaged", fix=_AGAIN) from None


def _frames(path: Path, header: Dataset) -> list[Frame]:
    """Return the planes of one file; damaged groups raise whatever the parser does."""
    count = frame_count(header)
    each = header.get("PerFrameFunctionalGroupsSequence")
    if not each:
        if count > 1:
            raise DicomError(
                "A multi-frame file does not say where its images lie",
                fix="export the series as enhanced MR with functional groups, or as one file a slice",
            )
        return [_frame(path, 0, header, header, header, header)]
    if len(each) != count:
        raise DicomError(f"A file announces {count} images and describes {len(each)}", fix=_AGAIN)
    shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    planes = []
    for index, own in enumerate(each):
        parts = [
            (own.get(name) or shared.get(name) or [Dataset()])[0]
            for name in (
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
                "PixelValueTransformationSequence",
            )
        ]
        planes.append(_frame(path, index, *parts))
    return planes


def _frame(path: Path, index: int, place: Dataset, plane: Dataset, measures: Dataset, rescale: Dataset) -> Frame:
    """Return one plane from the datasets that hold its position, orientation, spacing and rescaling."""
    slope = number(rescale.get("RescaleSlope"), 1.0)
    intercept = number(rescale.get("RescaleIntercept"), 0.0)
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise DicomError("A slice's rescale slope is 0 or its intercept is no number", fix=_AGAIN)
    x, y, z = _numbers(place, "ImagePositionPatient", 3, "position")
    a, b, c, d, e, f = _numbers(plane, "ImageOrientationPatient", 6, "orientation")
    rows, columns = _numbers(measures, "PixelSpacing", 2, "pixel spacing")
    return Frame(path, index, (x, y, z), (a, b, c, d, e, f), (rows, columns), slope, intercept)


def _numbers(dataset: Dataset, keyword: str, count: int, called: str) -> list[float]:
    """Return a geometry attribute's numbers."""
    try:
        values = [float(value) for value in dataset.get(keyword) or ()]
    except FOREIGN:
        values = []
    if len(values) != count:
        raise DicomError(
            f"A slice does not say its {called} ({keyword})",
            fix="export the original series from the scanner or archive, with its geometry",
        )
    return values
