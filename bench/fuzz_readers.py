"""Whether any damaged or hostile upload does more than be refused by name.

    python -m bench.fuzz_readers [--inputs 10000] [--seed 1] [--keep DIR]

DICOM in every encoding that is read, NIfTI and zips are mutated (bytes, lengths, cuts, repetitions, splices of two
files, hostile values where headers have theirs) and taken the whole way that an upload goes: unpacked, looked through,
drawn, decoded; a DICOM file beside an intact slice of its series. Anything but an answer or an FLError is a finding:
another exception, a dead process, ten seconds, a GiB. Inputs run in forked processes of 500; each is a function
of the seed and its number alone. DIR keeps the findings.
"""

import argparse
import gzip
import io
import multiprocessing
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import uid

from core.errors import DataError, FLError
from core.imaging.archives import unpack
from core.imaging.dicom import Series, files_under, find_series, planes_of, read_volume
from core.imaging.found import look_through
from core.imaging.nifti import is_nifti, read_nifti
from core.imaging.thumbnails import thumbnail
from tests.core.imaging.factories_dicom import a_series, an_enhanced_series, pixels_of

BATCH = 500
SECONDS = 10.0
MEMORY = 2**30
# Lengths, counts and signs that parsers stumble over.
HOSTILE = [
    *(struct.pack("<I", value) for value in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 30000)),
    *(struct.pack("<H", value) for value in (0, 1, 0x7FFF, 0x8000, 0xFFFF, 30000)),
    *(struct.pack("<f", value) for value in (0.0, -1.0, 1e38, float("nan"), float("inf"))),
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
    b"PN",
    b"SQ",
    b"UN",
    b"OB",
    b"DS",
    b"IS",
    b"UL",
    b"9" * 40,
    b"-1e400",
    b"\\" * 20,
    b"MZ",
    b"PK\x03\x04",
]


def seeds(folder: Path) -> dict[str, bytes]:
    """Return whole files to begin with, by name; the name's end says what each is."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, syntax in {
        "explicit": uid.ExplicitVRLittleEndian,
        "implicit": uid.ImplicitVRLittleEndian,
        "big": uid.ExplicitVRBigEndian,
        "deflated": uid.DeflatedExplicitVRLittleEndian,
        "rle": uid.RLELossless,
        "jpeg": uid.JPEGLosslessSV1,
        "jpegls": uid.JPEGLSLossless,
        "jpeg2000": uid.JPEG2000Lossless,
    }.items():
        a_series(folder / name, pixels=pixels_of(2, 16, 16), syntax=syntax, SeriesDescription="t1")
        found[f"{name}.dcm"] = (folder / name / "Image-1.dcm").read_bytes()
        found[f"{name}.beside"] = (folder / name / "Image-2.dcm").read_bytes()
    an_enhanced_series(folder / "enhanced.dcm", pixels_of(4), order=(0, 2, 1, 3), SeriesDescription="t2")
    found["enhanced.dcm"] = (folder / "enhanced.dcm").read_bytes()
    image = sitk.GetImageFromArray(pixels_of(5))
    for name in ("t1.nii", "t1.nii.gz"):
        sitk.WriteImage(image, str(folder / name))
        found[name] = (folder / name).read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("explicit.dcm", "enhanced.dcm", "t1.nii"):
            archive.writestr(f"case/{name}", found[name])
    found["case.zip"] = packed.getvalue()
    return found


def mutated(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Return a file after one to eight changes, most of them near its beginning, where headers are."""
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 3, 8))):
        size = max(len(changed), 1)
        at = draw.randrange(size) if draw.random() < 0.4 else draw.randrange(min(size, 1500))
        kind = draw.randrange(8)
        if kind <= 2:
            changed[at : at + 1] = bytes([draw.randrange(256)])
        elif kind <= 4:
            value = draw.choice(HOSTILE)
            changed[at : at + len(value)] = value
        elif kind == 5:
            del changed[at : at + draw.choice((1, 2, 4, 16, size))]
        elif kind == 6:
            piece = changed[at : at + draw.choice((1, 8, 64, 512))]
            changed[at:at] = piece * draw.choice((1, 1, 2, 50))
        else:
            start = draw.randrange(len(other))
            changed[at:at] = other[start : start + draw.choice((4, 32, 256))]
    return bytes(changed)


def an_input(seed: int, number: int, whole: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name and content of one input."""
    draw = random.Random(f"{seed}-{number}")
    names = sorted(name for name in whole if not name.endswith(".beside"))
    name = draw.choice(names)
    content, other = whole[name], whole[draw.choice(names)]
    inside = draw.random() < 0.7
    if name.endswith(".gz") and inside:
        return name, gzip.compress(mutated(draw, gzip.decompress(content), other), 1, mtime=0)
    if name == "deflated.dcm" and inside:
        # The file's meta group stays readable, so that what is inflated is what is damaged.
        start = 144 + struct.unpack_from("<I", content, 140)[0]
        packer = zlib.compressobj(wbits=-15)
        body = mutated(draw, zlib.decompress(content[start:], -15), other)
        return name, content[:start] + packer.compress(body) + packer.flush()
    if name.endswith(".zip") and inside:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for part in ("explicit.dcm", "enhanced.dcm", "t1.nii"):
                archive.writestr(f"case/{part}", mutated(draw, whole[part], other))
        return name, packed.getvalue()
    return name, mutated(draw, content, other)


def take(name: str, content: bytes, whole: dict[str, bytes], folder: Path) -> str:
    """Take one upload the whole way; return how far it came."""
    if name.endswith(".zip"):
        unpack(io.BytesIO(content), folder)
    else:
        (folder / name).write_bytes(content)
        if beside := whole.get(f"{name.removesuffix('.dcm')}.beside"):
            (folder / "beside.dcm").write_bytes(beside)
    steps = [partial(thumbnail, series) for series in look_through(folder).series if not series.wrong]
    steps += [partial(_read_series, one) for one in find_series(folder)]
    steps += [partial(read_nifti, path) for path in files_under(folder) if is_nifti(path)]
    refused = 0
    for step in steps:
        try:
            step()
        except DataError:
            refused += 1
    return "read" if not refused else "read in part" if refused < len(steps) else "refused when decoded"


def _read_series(series: Series) -> None:
    read_volume(planes_of(series))


def batch(seed: int, numbers: list[int], whole: dict[str, bytes], told: Connection) -> None:
    """Take inputs one by one, saying before and after each how it went."""
    np.seterr(all="ignore")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for number in numbers:
        told.send((number, "begun", ""))
        name, content = an_input(seed, number, whole)
        begun = time.process_time()
        trace = ""
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            try:
                outcome = take(name, content, whole, Path(folder))
            except FLError as error:
                outcome = f"refused: {type(error).__name__}"
            except BaseException as error:  # noqa: BLE001 (a finding)
                outcome, trace = f"FINDING {type(error).__name__}", traceback.format_exc()
        if time.process_time() - begun > SECONDS:
            outcome, trace = "FINDING slow", f"{time.process_time() - begun:.1f} CPU s"
        told.send((number, outcome, trace))


def fuzz(
    seed: int, inputs: range, say: Callable[[str], None] = lambda _text: None
) -> tuple[Counter[str], dict[int, tuple[str, str]]]:
    """Return how inputs went, and the findings by number: what, and its traceback."""
    with tempfile.TemporaryDirectory(prefix="fuzz-seeds-") as folder:
        whole = seeds(Path(folder))
    outcomes: Counter[str] = Counter()
    findings = {}
    fork = multiprocessing.get_context("fork")
    left = list(inputs)
    while left:
        receiver, sender = fork.Pipe(duplex=False)
        process = fork.Process(target=batch, args=(seed, left[:BATCH], whole, sender))
        process.start()
        sender.close()
        done, current = 0, left[0]
        for number, outcome, trace in messages(receiver):
            current = number
            if outcome != "begun":
                done += 1
                outcomes[outcome] += 1
                if outcome.startswith("FINDING"):
                    findings[number] = (outcome, trace)
        if done < len(left[:BATCH]):
            process.kill()
        process.join()
        if done < len(left[:BATCH]):
            outcomes["FINDING dead or hanging"] += 1
            findings[current] = ("FINDING dead or hanging", f"exit {process.exitcode}")
            done += 1
        left = left[done:]
        say(f"{inputs.stop - inputs.start - len(left)} inputs, {len(findings)} findings")
    return outcomes, findings


def messages(receiver: Connection) -> Iterator[tuple[int, str, str]]:
    """Yield what a process says, until it ends or is silent for too long."""
    while receiver.poll(6 * SECONDS):
        try:
            yield receiver.recv()
        except EOFError:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    inputs = range(options.first, options.first + options.inputs)
    outcomes, findings = fuzz(options.seed, inputs, lambda text: print(text, flush=True))
    for outcome, count in outcomes.most_common():
        print(f"{count:8d}  {outcome}")
    with tempfile.TemporaryDirectory() as folder:
        whole = seeds(Path(folder))
    for number, (outcome, trace) in findings.items():
        name, content = an_input(options.seed, number, whole)
        print(f"--- {number} {name}: {outcome}\n{trace}")
        if options.keep:
            options.keep.mkdir(exist_ok=True)
            (options.keep / f"{number}-{name}").write_bytes(content)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
