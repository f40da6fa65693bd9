"""Tiny DICOM files with a known geometry, as scanners and archives write them, and as they should not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileDataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.valuerep import format_number_as_ds

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def pixels_of(slices: int, rows: int = 8, columns: int = 6, seed: int = 0) -> NDArray[np.uint16]:
    """uint16 [slices, rows, columns], no two slices alike, 12 bits."""
    drawn = np.random.default_rng(seed).integers(1, 4000, (slices, rows, columns))
    return drawn.astype(np.uint16)


def a_slice(
    path: Path,
    pixels: NDArray[Any],
    position: Sequence[float] = (0.0, 0.0, 0.0),
    syntax: str = uid.ExplicitVRLittleEndian,
    **attributes: Any,
) -> FileDataset:
    """Write one MR image; an attribute given as None is left out."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = attributes.get("SOPClassUID", uid.MRImageStorage)
    meta.MediaStorageSOPInstanceUID = uid.generate_uid(entropy_srcs=[str(path)])
    little = syntax != uid.ExplicitVRBigEndian
    implicit = syntax == uid.ImplicitVRLittleEndian
    image = FileDataset({}, {}, b"\0" * 128, meta, is_implicit_VR=implicit, is_little_endian=little)
    values: dict[str, Any] = {
        "SOPClassUID": uid.MRImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "SeriesInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "PatientID": "canary-patient",
        "PatientName": "Canary^Name",
        "Modality": "MR",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "ImagePositionPatient": _decimals(position),
        "ImageOrientationPatient": list(AXIAL),
        "PixelSpacing": [2, 1.5],
        "SliceThickness": 3,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "BitsAllocated": pixels.dtype.itemsize * 8,
        "BitsStored": pixels.dtype.itemsize * 8,
        "HighBit": pixels.dtype.itemsize * 8 - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelData": pixels.astype(pixels.dtype.newbyteorder("<" if little else ">")).tobytes(),
    }
    values.update(attributes)
    if values["ImageOrientationPatient"] is not None:
        values["ImageOrientationPatient"] = _decimals(values["ImageOrientationPatient"])
    for name, value in values.items():
        if value is not None:
            setattr(image, name, value)
    if "PixelData" in image:
        image["PixelData"].VR = "OW"
    compressed = uid.UID(syntax).is_compressed and syntax != uid.DeflatedExplicitVRLittleEndian
    meta.TransferSyntaxUID = uid.UID(uid.ExplicitVRLittleEndian if compressed else syntax)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save_as(path, enforce_file_format=True)
    if compressed:
        recode(path, syntax)
    return image


def recode(path: Path, syntax: str) -> None:
    """Compress the pixels of a file where it lies."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(syntax))))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def a_series(
    folder: Path,
    slices: int = 5,
    spacing: float = 3.0,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-10.0, 20.0, 30.0),
    pixels: NDArray[Any] | None = None,
    skip: Sequence[int] = (),
    **attributes: Any,
) -> NDArray[Any]:
    """Write a series of parallel slices, without those in `skip`, and return the pixels of all."""
    pixels = pixels_of(slices) if pixels is None else pixels
    normal = np.cross(orientation[:3], orientation[3:])
    attributes.setdefault("SeriesInstanceUID", uid.generate_uid(entropy_srcs=[str(folder)]))
    for index, plane in enumerate(pixels):
        if index not in skip:
            a_slice(
                folder / f"Image-{index + 1}.dcm",
                plane,
                np.asarray(origin) + index * spacing * normal,
                ImageOrientationPatient=orientation,
                InstanceNumber=str(index + 1),
                **attributes,
            )
    return pixels


def a_case(folder: Path, slices: int = 5, **attributes: Any) -> Path:
    """Write four sequences in the RSNA-MICCAI layout."""
    for seed, sequence in enumerate(("T1w", "T1wCE", "T2w", "FLAIR")):
        a_series(folder / sequence, pixels=pixels_of(slices, seed=seed), **attributes)
    return folder


def an_enhanced_series(path: Path, pixels: NDArray[Any], order: Sequence[int], **attributes: Any) -> None:
    """Write one enhanced multi-frame MR file, whose frames lie 3 mm apart in the given order, each with its slope."""
    frames = []
    for index in order:
        frame, place, value = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [-10, 20, 30 + 3 * index]
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = index + 1, -index, "US"
        frame.PlanePositionSequence = [place]
        frame.PixelValueTransformationSequence = [value]
        frames.append(frame)
    shared, plane, measures = Dataset(), Dataset(), Dataset()
    plane.ImageOrientationPatient = list(AXIAL)
    measures.PixelSpacing, measures.SliceThickness = [2, 1.5], 3
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    given: dict[str, Any] = {
        "SOPClassUID": uid.EnhancedMRImageStorage,
        "NumberOfFrames": len(frames),
        "SharedFunctionalGroupsSequence": [shared],
        "PerFrameFunctionalGroupsSequence": frames,
        "ImagePositionPatient": None,
        "PixelSpacing": None,
        "SliceThickness": None,
    }
    a_slice(path, pixels[list(order)], **{**given, **attributes})


def _decimals(values: Sequence[float]) -> list[str]:
    """Return numbers as DICOM's decimal strings, at most 16 characters long."""
    return [format_number_as_ds(float(value)) for value in values]
