"""Checkpoints: what goes in comes out, and nothing else is believed."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from neml2fe.errors import InputError, OutputError
from neml2fe.io import checkpoint

ARRAYS = {
    "displacement": np.random.default_rng(1).normal(size=(40, 3)),
    "state/plastic_strain~1": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "file": np.array([True, False]),
    "step": np.array(7),
    "empty": np.zeros((0, 6)),
}
META = {"time": 0.1 + 0.2, "dt": 1e-3, "mesh": {"nodes": 40, "name": "plåte"}, "times": [0.1, 0.2]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "run.ckpt", ARRAYS, META)
    return tmp_path / "run.ckpt"


def test_round_trip_is_exact(path: Path) -> None:
    arrays, meta = checkpoint.load(path)
    assert meta == META
    assert arrays.keys() == ARRAYS.keys()
    for name, x in ARRAYS.items():
        assert arrays[name].dtype == x.dtype
        assert arrays[name].shape == x.shape
        assert np.array_equal(arrays[name], x)


def test_numpy_reads_it_too(path: Path) -> None:
    with np.load(path) as file:
        assert np.array_equal(file["displacement"], ARRAYS["displacement"])


def test_every_damaged_byte_is_noticed(path: Path) -> None:
    whole = path.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 150).astype(int):
        damaged = bytearray(whole)
        damaged[at] ^= 0x41
        path.write_bytes(damaged)
        try:
            arrays, meta = checkpoint.load(path)
        except OutputError as error:
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:  # bytes that carry no content, such as a date of the archive
            assert meta == META
            assert all(np.array_equal(arrays[name], x) for name, x in ARRAYS.items())


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_truncated_file(path: Path, part: float) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(OutputError, match=r"run\.ckpt is damaged, cut short, or not"):
        checkpoint.load(path)


def rewrite(path: Path, **change: object) -> None:
    """The same archive with another header."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = {**json.loads(members["header.json"]), **change}
    members["header.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_other_version(path: Path) -> None:
    rewrite(path, version=99)
    with pytest.raises(OutputError, match="format 99; this version reads format 1"):
        checkpoint.load(path)


def test_changed_metadata_fails_the_checksum(path: Path) -> None:
    rewrite(path, meta=json.dumps({**META, "time": 9.0}))
    with pytest.raises(OutputError, match="checksum"):
        checkpoint.load(path)


def test_foreign_and_missing_files(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(OutputError, match=r"other\.npz is not a neml2fe checkpoint"):
        checkpoint.load(tmp_path / "other.npz")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(OutputError, match="text is damaged, cut short, or not"):
        checkpoint.load(tmp_path / "text")
    with pytest.raises(OutputError, match="none: No such file"):
        checkpoint.load(tmp_path / "none")


def test_pickles_are_never_loaded(path: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    with zipfile.ZipFile(path, "a") as archive, archive.open("bomb.npy", "w") as member:
        np.lib.format.write_array(member, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(OutputError, match="damaged"):
        checkpoint.load(path)
    assert pickle.dumps(Bomb()) and not (tmp_path / "exploded").exists()


def test_failed_save_keeps_the_previous_checkpoint(path: Path, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", refuse)
        with pytest.raises(OutputError, match=r"run\.ckpt: No space left on device"):
            checkpoint.save(path, {"a": np.ones(3)}, {})
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        with pytest.raises(OutputError, match=r"run\.ckpt"):
            checkpoint.save(path, {"a": np.ones(3)}, {})
    assert checkpoint.load(path)[1] == META
    assert [p.name for p in path.parent.iterdir()] == ["run.ckpt"]
    checkpoint.save(path, {"a": np.ones(3)}, {})
    assert list(checkpoint.load(path)[0]) == ["a"]


def test_what_cannot_be_stored(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' holds objects"):
        checkpoint.save(tmp_path / "c", {"a": np.array([None])}, {})
    with pytest.raises(InputError, match="JSON"):
        checkpoint.save(tmp_path / "c", {}, {"a": np.zeros(2)})
    assert not (tmp_path / "c").exists()
