"""CSV tables: exact round trips, continuation, and messages for bad files."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neml2fe.errors import InputError, OutputError
from neml2fe.io import TableWriter, read_table, write_columns


def test_rows_are_in_the_file_at_once_and_exact(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "load.csv"
    with TableWriter(path, ["step", "time", "reaction, x (N)"]) as table:
        table.write({"step": 1, "time": 0.1, "reaction, x (N)": np.float64(1) / 3})
        assert path.read_text() == 'step,time,"reaction, x (N)"\n1,0.1,0.3333333333333333\n'
        table.write({"time": 1e-300, "reaction, x (N)": -0.0, "step": np.int64(2)})
        read = read_table(path)
    assert list(read) == ["step", "time", "reaction, x (N)"]
    assert read["step"].tolist() == [1.0, 2.0]
    assert read["reaction, x (N)"].tolist() == [1 / 3, 0.0]


@given(st.lists(st.floats(allow_nan=True, width=64), min_size=1, max_size=20))
def test_any_float_survives(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_columns(path, {"a": values, "b": range(len(values))})
    read = read_table(path, allow_nan=True)
    assert np.array_equal(read["a"], values, equal_nan=True)
    assert np.array_equal(read["b"], np.arange(len(values)))


def test_new_table_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for start in (0.0, 5.0):
        with TableWriter(path, ["time"]) as table:
            table.write({"time": start})
    assert read_table(path)["time"].tolist() == [5.0]


def test_resume_keeps_rows_up_to_the_time(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with TableWriter(path, ["step", "time"]) as table:
        for step in range(1, 6):
            table.write({"step": step, "time": 0.1 * step})
    with TableWriter(path, ["step", "time"], resume_at=0.1 * 3) as table:
        table.write({"step": 4, "time": 0.35})
    assert read_table(path)["time"].tolist() == [0.1, 0.2, 0.1 * 3, 0.35]


def test_resume_drops_a_torn_last_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("time,load\n0.1,5.0\n0.2,6")
    with TableWriter(path, ["time", "load"], resume_at=1.0) as table:
        table.write({"time": 0.2, "load": 6.5})
    assert path.read_text() == "time,load\n0.1,5.0\n0.2,6.5\n"


def test_resume_without_a_file_starts_one(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.csv", ["time"], resume_at=3.0) as table:
        table.write({"time": 4.0})
    assert read_table(tmp_path / "t.csv")["time"].tolist() == [4.0]


@pytest.mark.parametrize("text", ["time,force\n0.1,2.0\n", "", "time,load\n0.1x,2.0\n"])
def test_resume_of_another_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(OutputError, match=r"cannot continue .*t\.csv"):
        TableWriter(path, ["time", "load"], resume_at=1.0)
    assert path.read_text() == text


def test_rows_and_columns_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(InputError, match=r"t\.csv: column name 'time' occurs twice"):
        TableWriter(path, ["time", "time"])
    with TableWriter(path, ["time", "load"]) as table:
        with pytest.raises(InputError, match="given: time, lod"):
            table.write({"time": 0.0, "lod": 1.0})
        with pytest.raises(InputError, match="numbers, not 'high'"):
            table.write({"time": 0.0, "load": "high"})
    assert path.read_text() == "time,load\n"
    with pytest.raises(InputError, match="differ in length"):
        write_columns(path, {"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(InputError, match="all numbers"):
        write_columns(path, {"0": [1.0], "1": [1.0]})
    with pytest.raises(InputError, match="'a' must be numbers"):
        write_columns(path, {"a": [[1.0]]})
    with pytest.raises(InputError, match="column 'time'"):
        TableWriter(path, ["step"], resume_at=1.0)


def test_full_disk_leaves_whole_rows(tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="file size limits exist on Unix only")
    path = tmp_path / "t.csv"
    script = (
        "import resource, sys\n"
        "from neml2fe.errors import OutputError\n"
        "from neml2fe.io import TableWriter\n"
        "table = TableWriter(sys.argv[1], ['time', 'load'])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    for step in range(1000):\n"
        "        table.write({'time': step, 'load': 1 / 3})\n"
        "except OutputError as error:\n"
        "    sys.exit(str(error))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60
    )
    assert run.stderr.strip() == f"cannot write {path}: File too large"
    text = path.read_text()
    assert 970 < len(text) <= 1000 and text.endswith(",0.3333333333333333\n")
    assert set(read_table(path)["load"]) == {1 / 3}


def test_failed_replacement_keeps_the_old_table(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "t.csv"
    write_columns(path, {"a": [1.0]})

    def refuse(*_: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OutputError, match=r"t\.csv: Disk quota exceeded"):
        write_columns(path, {"a": [2.0]})
    assert read_table(path)["a"].tolist() == [1.0]
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"t\.csv:1: the table has no column names"),
        ("1.0,2.0\n3.0,4.0\n", r"t\.csv:1: the column names are all numbers"),
        ("time,load,time\n", r"t\.csv:1: column name 'time' occurs twice"),
        ("time,,load\n", r"t\.csv:1: column 2 has no name"),
        ("time,load\n0,1\n\n1\n", r"t\.csv:4: 1 values; the header names 2 columns"),
        ("time,load\n0,1\n1,2,3\n", r"t\.csv:3: 3 values"),
        ("time,load\n0,1\n1,high\n", r"t\.csv:3: column 'load': 'high' is not a number"),
        ("time,load\n0,\n", r"t\.csv:2: column 'load': '' is not a number"),
        ("time,load\n0,1\n1,nan\n", r"t\.csv:3: column 'load': nan is not a finite"),
        ("time,load\n-inf,inf\n", r"t\.csv:2: column 'time': -inf is not a finite"),
    ],
)
def test_bad_tables_name_file_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_table(path)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: No such file"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\x80\x81\xff")
    with pytest.raises(InputError, match=r"b\.csv is not a CSV text file"):
        read_table(tmp_path / "b.csv")


def test_spreadsheet_export_and_empty_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbftime, load\r\n0.5, 2\r\n")
    assert {k: v.tolist() for k, v in read_table(path).items()} == {"time": [0.5], "load": [2.0]}
    path.write_text("time,load\n")
    assert read_table(path)["load"].shape == (0,)
