"""CSV tensors: columns found by name, values taken verbatim, bad files refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neml2fe.errors import InputError
from neml2fe.input.csvtensor import read_csv_tensor

SR2 = ("_xx", "_yy", "_zz", "_yz", "_xz", "_xy")
VEC = ("_x", "_y", "_z")
SCALAR = ("",)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Columns in another order than the components, a second variable, blanks, a blank line."""
    return write(
        tmp_path / "data.csv",
        "time, e_xy,e_xx,e_yy,e_zz,e_yz,e_xz, v_x,v_y,v_z\n"
        "0.5, 6,1,2,3,4,5, 10,20,30\n\n"
        "1e0,-6,-1,-2,-3,-4,-5,-10,-20,-30\n",
    )


def test_columns_become_components(data: Path) -> None:
    strain = read_csv_tensor(data, SR2, "e")
    assert strain.dtype == torch.float64
    assert strain.tolist() == [[1, 2, 3, 4, 5, 6], [-1, -2, -3, -4, -5, -6]]
    assert read_csv_tensor(data, SCALAR, "time").tolist() == [0.5, 1.0]
    assert read_csv_tensor(data, VEC, "v").tolist() == [[10, 20, 30], [-10, -20, -30]]
    given_names = read_csv_tensor(data, VEC, column_names=["v_z", "time", "e_xx"])
    assert given_names.tolist() == [[30, 0.5, 1], [-30, 1, -1]]


def test_the_only_complete_variable_needs_no_name(data: Path, tmp_path: Path) -> None:
    assert torch.equal(read_csv_tensor(data, SR2), read_csv_tensor(data, SR2, "e"))
    single = write(tmp_path / "t.csv", b"\xef\xbb\xbftime\r\n1\r\n2\r\n")
    assert read_csv_tensor(single, SCALAR).tolist() == [1.0, 2.0]
    with pytest.raises(InputError, match="name the variable to read; complete ones here: e_xx, "):
        read_csv_tensor(data, SCALAR)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(deadline=None)
def test_every_double_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.getbasetemp() / "doubles.csv"
    write(path, "x\n" + "".join(f"{value!r}\n" for value in values))
    assert read_csv_tensor(path, SCALAR, "x").tolist() == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,stress\n1,2\n", "d.csv:1: there is no column 'tme'; did you mean 'time'?"),
        ("tme,tme\n1,2\n", "d.csv:1: the column 'tme' is given twice"),
        ("tme,a\n1,2\n1\n", "d.csv:3: 1 values for the 2 columns of the header"),
        ("tme\n1\n\nx\n", "d.csv:4: column 'tme': expected a finite number, got 'x'"),
        ("tme\nnan\n", "d.csv:2: column 'tme': expected a finite number, got 'nan'"),
        ("tme\n1e999\n", "d.csv:2: column 'tme': expected a finite number, got '1e999'"),
        ("tme,a\n,1\n", "d.csv:2: column 'tme': expected a finite number, got ''"),
        ("", "d.csv: a header with column names and at least one row are needed"),
        ("tme\n", "d.csv: a header with column names and at least one row are needed"),
        (b"tme\n\xff\n", "is not a CSV file in UTF-8"),
        ('tme\n"1\n', "is not a CSV file in UTF-8"),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = write(tmp_path / "d.csv", text)
    with pytest.raises(InputError) as caught:
        read_csv_tensor(path, SCALAR, "tme")
    assert said in str(caught.value)


def test_bad_requests(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no column 'v_xx'; did you mean"):
        read_csv_tensor(data, SR2, "v")
    with pytest.raises(InputError, match="2 column names for 3 components"):
        read_csv_tensor(data, VEC, column_names=["v_x", "v_y"])
    with pytest.raises(InputError, match="either a variable or its column names"):
        read_csv_tensor(data, VEC, "v", ["v_x", "v_y", "v_z"])
    with pytest.raises(InputError, match=r"cannot read the CSV file .*: No such file"):
        read_csv_tensor(tmp_path / "gone.csv", SCALAR, "x")
    with pytest.raises(InputError, match=r"cannot read the CSV file .*: Is a directory"):
        read_csv_tensor(tmp_path, SCALAR, "x")
