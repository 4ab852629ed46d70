"""Checkpoints: named arrays and a little metadata in one file that checks itself.

The file is a zip archive of `header.json` and one `.npy` member an array, so NumPy and
common tools can open it. The header carries the format version, the metadata and a
SHA-256 of everything. Nothing in it is ever executed (no pickle).
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import ArrayLike, NDArray

from neml2fe.errors import InputError, OutputError
from neml2fe.io.paths import replacing

_FORMAT = "neml2fe checkpoint"
_VERSION = 1
_HEADER = "header.json"


def save(
    path: str | os.PathLike[str], arrays: Mapping[str, ArrayLike], meta: Mapping[str, Any]
) -> None:
    """Write a checkpoint; the one before at `path` stays until this one is complete.

    Args:
        arrays: Arrays of numbers by name, any shape.
        meta: What JSON can hold; floats come back exactly, tuples come back as lists.

    Raises:
        InputError: if an array holds Python objects or `meta` does not fit JSON.
        OutputError: if the file cannot be written.
    """
    data = {name: np.asarray(x, order="C") for name, x in arrays.items()}
    for name, x in data.items():
        if x.dtype.hasobject:
            raise InputError(f"checkpoint array '{name}' holds objects; only numbers are stored")
    try:
        text = json.dumps(dict(meta), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"checkpoint metadata must fit JSON: {error}") from error
    header = {
        "format": _FORMAT,
        "version": _VERSION,
        "sha256": _digest(data, text),
        "meta": text,
    }
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_HEADER, json.dumps(header))
        for name, x in data.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                npy.write_array(member, x, allow_pickle=False)


def load(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read a checkpoint: its arrays by name, and its metadata.

    Raises:
        OutputError: if the file is missing, damaged, cut short, not a checkpoint, or of
            another format version.
    """
    path = os.fspath(path)
    try:
        with zipfile.ZipFile(path) as archive:
            header = _header(path, archive)
            data = {}
            for member in archive.namelist():
                if member != _HEADER:
                    with archive.open(member) as file:
                        name = member.removesuffix(".npy")
                        data[name] = npy.read_array(file, allow_pickle=False)
    except zipfile.BadZipFile as error:
        raise OutputError(f"{path} is damaged, cut short, or not a {_FORMAT} ({error})") from error
    except OSError as error:
        raise OutputError(f"cannot read the checkpoint {path}: {error.strerror}") from error
    except (ValueError, EOFError, zlib.error, NotImplementedError) as error:
        raise OutputError(f"the checkpoint {path} is damaged ({error})") from error
    if _digest(data, header["meta"]) != header["sha256"]:
        raise OutputError(f"the checkpoint {path} is damaged: its content fails the checksum")
    return data, json.loads(header["meta"])


def _header(path: str, archive: zipfile.ZipFile) -> dict[str, Any]:
    try:
        header = json.loads(archive.read(_HEADER))
        found = header["format"], header["version"], header["sha256"], header["meta"]
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError):
        found = (None, None, None, None)
    if found[0] != _FORMAT:
        raise OutputError(f"{path} is not a {_FORMAT}")
    if found[1] != _VERSION:
        raise OutputError(
            f"{path} has checkpoint format {found[1]}; this version reads format {_VERSION}"
        )
    return header


def _digest(data: Mapping[str, NDArray[Any]], meta: str) -> str:
    """SHA-256 over the metadata and, by name, each array's type, shape and bytes."""
    digest = hashlib.sha256(meta.encode())
    for name in sorted(data):
        x = np.asarray(data[name], order="C")
        digest.update(f"\0{name}\0{x.dtype.str}\0{x.shape}\0".encode())
        digest.update(x.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
