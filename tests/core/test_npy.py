from io import BytesIO

import numpy as np
import pytest
from flwr.app import Array
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, floating_dtypes, integer_dtypes
from numpy.typing import NDArray

from core.npy import NPY, npy_array, npy_bytes

numbers = arrays(floating_dtypes(endianness="<") | integer_dtypes(endianness="<"), array_shapes(min_side=0))


def saved(array: NDArray) -> bytes:
    file = BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@given(numbers)
def test_the_bytes_are_those_of_numpy_and_of_flower(array: NDArray) -> None:
    flower = Array(array)
    assert npy_bytes(array) == saved(array) == flower.data
    assert (flower.stype, flower.dtype, flower.shape) == (NPY, str(array.dtype), array.shape)


@given(numbers, st.booleans())
def test_an_array_comes_back_as_it_was(array: NDArray, by_columns: bool) -> None:
    got = npy_array(memoryview(saved(np.asfortranarray(array) if by_columns else array)))
    assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_reading_copies_nothing_and_lets_nobody_write() -> None:
    content = npy_bytes(np.arange(6, dtype=np.float32).reshape(2, 3))
    got = npy_array(content)
    assert np.shares_memory(got, np.frombuffer(content, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        got[0, 0] = 1


def test_an_array_that_is_not_in_one_piece_is_written_as_if_it_were() -> None:
    array = np.arange(10, dtype=np.float32)[::2]
    np.testing.assert_array_equal(npy_array(npy_bytes(array)), array)


def test_a_later_version_of_the_format_is_read() -> None:
    file = BytesIO()
    np.lib.format.write_array(file, np.arange(3.0), version=(2, 0))
    np.testing.assert_array_equal(npy_array(file.getvalue()), np.arange(3.0))


def archive() -> bytes:
    file = BytesIO()
    np.savez(file, a=np.ones(3))
    return file.getvalue()


def objects() -> bytes:
    file = BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    return file.getvalue()


WHOLE = npy_bytes(np.ones(3, np.float32))
HUGE = WHOLE.replace(b"(3,)", b"(9,)")


@pytest.mark.parametrize(
    "content", [b"", WHOLE[:7], WHOLE[:-1], WHOLE + b"0", HUGE, b"\x93NUMPY\x03\x00" + WHOLE[8:], archive(), objects()]
)
def test_what_is_no_whole_file_of_one_array_of_numbers_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        npy_array(content)
