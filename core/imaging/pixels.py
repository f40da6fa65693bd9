"""Stored pixel values of one DICOM file, decoded within limits."""

import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, uid
from pydicom.config import disable_value_validation
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import generate_frames
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.utils import pixel_array

from core.errors import DicomError
from core.workers import end_with_parent

# A brain is at most 1024 pixels wide and 1024 slices deep in any protocol; these leave room and stop bombs.
MAX_SIDE = 2048
MAX_VOXELS = 2**28

# One decoder a syntax, so that what else is installed cannot change a single bit.
_DECODERS = {
    **dict.fromkeys((uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian), ""),
    uid.DeflatedExplicitVRLittleEndian: "",
    uid.RLELossless: "pydicom",
    **dict.fromkeys((uid.JPEGBaseline8Bit, uid.JPEGLossless, uid.JPEGLosslessSV1), "gdcm"),
    **dict.fromkeys((uid.JPEGLSLossless, uid.JPEGLSNearLossless), "gdcm"),
    **dict.fromkeys((uid.JPEG2000Lossless, uid.JPEG2000, uid.HTJ2KLossless, uid.HTJ2K), "pylibjpeg"),
}

# What pydicom and the decoders were seen to raise on damaged or hostile files.
FOREIGN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_PIXEL_MODULE = (
    "SamplesPerPixel PhotometricInterpretation PlanarConfiguration NumberOfFrames Rows Columns BitsAllocated "
    "BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit PixelData "
    "ExtendedOffsetTable ExtendedOffsetTableLengths"
)
# SOC and SIZ, with which every JPEG 2000 codestream begins (T.800 A.5.1).
_IMAGE_SIZE = re.compile(rb"\xff\x4f\xff\x51....(....)(....)(....)(....)", re.DOTALL)
# Start of frame in JPEG and JPEG-LS (T.81 B.1.1.3, T.87 C.1.1).
_STARTS_OF_FRAME = {*range(0xC0, 0xC4), 0xF7}
_HUFFMAN, _START_OF_SCAN = 0xC4, 0xDA
# Quantization, restart interval, applications' own, JPEG-LS parameters, comments.
_OTHER_SEGMENTS = {0xDB, 0xDD, *range(0xE0, 0xF0), 0xF8, 0xFE}


@contextmanager
def foreign_files() -> Iterator[None]:
    """Read files that bend the standard without a warning for each: what matters is checked here."""
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def tags(keywords: str) -> list[int]:
    """Return the tags of attributes named by keyword, with spaces between."""
    return [tag for keyword in keywords.split() if (tag := tag_for_keyword(keyword)) is not None]


def check_size(rows: int, columns: int, frames: int) -> None:
    """Refuse an image too large to be a brain scan, before any of it is decoded."""
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and frames > 0 and rows * columns * frames <= MAX_VOXELS):
        raise DicomError(
            f"The header announces {frames} images of {rows} x {columns} pixels, outside what is read "
            f"(at most {MAX_SIDE} a side and {MAX_VOXELS} in all)",
            fix="export the original series without magnification",
        )


def stored_pixels(path: Path, *, apart: bool = True) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Decode the pixels of one file.

    Args:
        path: the file.
        apart: whether a decoder that may end its process gets one of its own; not needed where this one may be lost.
    Returns:
        int32, or int64 for 32 stored bits, [frames, rows, columns]; larger is brighter (MONOCHROME1 is turned round);
        bool of the same shape, where padding stands instead of a measurement, or None without padding.
    Raises: DicomError: color, too large, an unknown or broken encoding, pixels missing or cut short.
    """
    try:
        with foreign_files():
            dataset = dcmread(path, force=True, specific_tags=tags(_PIXEL_MODULE))
            plugin = _checked(dataset)
            decoded = _decode_apart(path, plugin) if apart and plugin == "gdcm" else _decode(dataset, plugin)
            # Signed and wide enough for padding and MONOCHROME1.
            stored: NDArray[Any] = decoded.astype(np.int32 if decoded.itemsize <= 2 else np.int64)
    except FOREIGN as error:
        if isinstance(error, DicomError):
            raise
        raise DicomError(
            f"The pixels of a slice cannot be decoded ({type(error).__name__}): the file is cut short or damaged",
            fix="send or export the series again, uncompressed if it fails again",
        ) from None
    stored = stored.reshape(-1, int(dataset.Rows), int(dataset.Columns))
    padding = _padding(dataset, stored)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        stored = (-1 if dataset.PixelRepresentation else 2 ** int(dataset.BitsStored) - 1) - stored
    return stored, padding


def _decode(source: Dataset | Path, plugin: str) -> NDArray[Any]:
    """Return all stored values of a file, as its decoder gives them."""
    with foreign_files():
        decoded: NDArray[Any] = pixel_array(source, raw=True, decoding_plugin=plugin)
        return decoded


def _decode_apart(path: Path, plugin: str) -> NDArray[Any]:
    """Decode in a process of its own: on some damaged files gdcm ends the process that called it."""
    try:
        return _other_process(os.getpid()).submit(_decode, path, plugin).result()
    except BrokenProcessPool:
        _other_process.cache_clear()
        raise


@cache
def _other_process(_owner: int) -> ProcessPoolExecutor:
    """Return the process that decodes for this one; kept, since it takes a second to start."""
    process = ProcessPoolExecutor(1, get_context("forkserver"), end_with_parent)
    # Whoever works for another waits at its own end for the processes it started: this one must be told to end first,
    # and through its queue, which is closed at priority 10.
    Finalize(None, process.shutdown, exitpriority=20)
    return process


def _checked(dataset: Dataset) -> str:
    """Return the decoder for a file whose header says that it may be decoded."""
    if not dataset.file_meta.get("TransferSyntaxUID"):
        # A file of bare elements: how they were written is how the pixels were.
        implicit, little = dataset.original_encoding
        plain = uid.ExplicitVRLittleEndian if little else uid.ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else plain
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in _DECODERS:
        raise DicomError(
            "The pixels are encoded in a transfer syntax that is not read here",
            fix="export the series uncompressed (Explicit VR Little Endian)",
        )
    if "PixelData" not in dataset:
        raise DicomError("A slice has no pixels", fix="export the series again, with its images")
    if dataset.get("SamplesPerPixel", 1) != 1 or not str(dataset.PhotometricInterpretation).startswith("MONOCHROME"):
        raise DicomError("The series is in color, which no MR sequence is", fix="export the original series")
    if dataset.BitsAllocated not in (8, 16, 32):
        raise DicomError("The series is no gray-scale image", fix="export the original series")
    frames = int(dataset.get("NumberOfFrames") or 1)
    check_size(dataset.Rows, dataset.Columns, frames)
    if _DECODERS[syntax] in ("gdcm", "pylibjpeg"):
        for stream in generate_frames(dataset.PixelData, number_of_frames=frames):
            _check_stream(stream, dataset.Rows, dataset.Columns)
    return _DECODERS[syntax]


def _check_stream(stream: bytes, rows: int, columns: int) -> None:
    """Refuse a compressed image whose own size is not the header's: it would be decoded at its own."""
    size = _IMAGE_SIZE.match(stream)
    if size:
        right, bottom, left, top = (int.from_bytes(part) for part in size.groups())
        announced = (bottom - top, right - left)
    else:
        announced = _jpeg_size(stream)
    if announced != (rows, columns):
        raise DicomError(
            f"A compressed image of {announced[0]} x {announced[1]} pixels lies in a slice of {rows} x {columns}",
            fix="send or export the series again",
        )


def _jpeg_size(stream: bytes) -> tuple[int, int]:
    """Return rows and columns from a JPEG's start of frame, once all segments before its pixels are sound.

    Strict, because decoders stumble over damaged segments, and because a size hidden in a comment is none.
    """
    at, size = 2, None
    while stream[:2] == b"\xff\xd8" and stream[at : at + 1] == b"\xff" and at + 4 <= len(stream):
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4])
        body = stream[at + 4 : at + 2 + length]
        if len(body) != length - 2:
            break
        if marker == _START_OF_SCAN and size and body[0] == 1:
            return size
        if marker in _STARTS_OF_FRAME:
            if size or len(body) != 9 or body[5] != 1:
                break  # twice, or not of one component
            size = (int.from_bytes(body[1:3]), int.from_bytes(body[3:5]))
        elif not (_sound_tables(body) if marker == _HUFFMAN else marker in _OTHER_SEGMENTS):
            break
        at += 2 + length
    raise DicomError("The compressed pixels of a slice are damaged", fix="send or export the series again")


def _sound_tables(body: bytes) -> bool:
    """Return whether a segment of Huffman tables holds whole tables and nothing else (T.81 B.2.4.2)."""
    at = 0
    while at < len(body):
        counts = body[at + 1 : at + 17]
        # A code of n bits leaves room for half as many as one of n - 1 (Kraft).
        room = sum(count / 2**bits for bits, count in enumerate(counts, start=1))
        if body[at] & 0xEC or len(counts) != 16 or room > 1:
            return False
        at += 17 + sum(counts)
    return at == len(body)


def _padding(dataset: Dataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return where stored values are padding (PS3.3 C.7.5.1.1.2), or None."""
    ends = [dataset.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    values = [_as_stored(value, dataset) for value in ends if value is not None]
    if not values:
        return None
    return (stored >= min(values)) & (stored <= max(values))


def _as_stored(value: int | bytes, dataset: Dataset) -> int:
    """Return a padding value with the sign of the pixels, whatever its own representation says."""
    number = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    number %= 2**16
    return number - 2**16 if dataset.PixelRepresentation and number >= 2**15 else number
