"""Numpy arrays as the bytes of .npy files, which is how Flower carries them, without copies on the way.

Source: numpy's `numpy.lib.format`, versions 1.0 and 2.0.
"""

import hashlib
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

# What Flower calls bytes of this kind.
NPY = "numpy.ndarray"
# More than the header of an .npy file with one array of numbers needs.
HEADER_BYTES = 4096


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Return an array of numbers as the bytes that `np.save` would write."""
    array = np.asarray(array, order="C")
    header = BytesIO()
    npy.write_array_header_1_0(header, npy.header_data_from_array_1_0(array))
    return b"".join((header.getvalue(), array.reshape(-1).data.cast("B") if array.size else b""))


def npy_array(content: bytes | memoryview) -> NDArray[Any]:
    """Return the array of an .npy file, which shares the memory of its bytes and cannot be written to.

    Raises: ValueError: the bytes are no such file, are fewer or more than it says, or hold other things than numbers.
    """
    header = BytesIO(content[:HEADER_BYTES])
    version = npy.read_magic(header)
    if version == (1, 0):
        shape, by_columns, dtype = npy.read_array_header_1_0(header)
    elif version == (2, 0):
        shape, by_columns, dtype = npy.read_array_header_2_0(header)
    else:
        raise ValueError("an .npy file of another version")
    if dtype.hasobject or len(content) - header.tell() != prod(shape) * dtype.itemsize:
        raise ValueError("an .npy file of objects, or cut off, or with more behind it")
    values = np.frombuffer(content, dtype, prod(shape), header.tell()) if prod(shape) else np.empty(0, dtype)
    return values.reshape(shape, order="F" if by_columns else "C")


def sha256_of(weights: NDArray[np.float32]) -> str:
    """Return the SHA-256 of weights as 64 hexadecimal digits: how both sides name them."""
    return hashlib.sha256(np.ascontiguousarray(weights).data).hexdigest()
