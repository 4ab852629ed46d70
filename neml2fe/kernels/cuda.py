"""Generated source becomes machine code for a GPU, by NVRTC as torch brings it.

The code is kept on disk by content like the libraries for CPUs, in `<key>.cubin`, a checksum
before it. NVRTC needs no other compiler and no headers.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import torch

from neml2fe.kernels.build import FORMAT, LOCK_TIMEOUT, BuildError, cache_dir

FUNCTION = "neml2fe_run"
OPTIONS = ("--std=c++17",)
DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Code:
    """Machine code for one kind of GPU; what it took to compile, now or when it was."""

    content: bytes
    path: Path
    seconds: float
    cached: bool

    @property
    def size(self) -> int:
        return len(self.content)


def load(code: Code, device: torch.device) -> Callable[..., None]:
    """The kernel on `device`: call it with grid, block and tensors; it runs on torch's current
    stream. Raises `BuildError` where the driver refuses it."""
    try:
        with torch.cuda.device(device):
            module: Any = torch.cuda._utils._cuda_load_module(code.content, [FUNCTION])
    except (RuntimeError, OSError) as error:
        raise BuildError(f"{device} cannot load a kernel: {error}") from error
    return module[FUNCTION]  # type: ignore[no-any-return]


def architecture(device: torch.device) -> str:
    """What NVRTC calls the kind of a GPU."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def compiled(source: str, arch: str, label: str = "") -> Code:
    """Machine code of a CUDA source for GPUs of the kind `arch`, from the cache or put into it.

    Where the cache cannot be used a warning says so. Raises `BuildError` where NVRTC fails.
    """
    facts = [FORMAT, source, OPTIONS, version(), arch]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    try:
        path = cache_dir() / f"{key}.cubin"
        if code := _read(path):
            return code
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path.with_suffix(".lock"), timeout=LOCK_TIMEOUT):
            return _read(path) or _compile(source, arch, label, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home directory, no locks
        reason = str(error)
    warnings.warn(f"CUDA kernels are not kept ({reason}); set NEML2FE_CACHE", stacklevel=2)
    return _compile(source, arch, label, None)


def version() -> tuple[int, int]:
    """Of NVRTC. Raises `BuildError` where there is none."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


@functools.cache
def library() -> ctypes.CDLL:
    """NVRTC: the one that torch was made for, else any."""
    own = torch.version.cuda.partition(".")[0] if torch.version.cuda else ""
    names = [f"libnvrtc.so.{own}"] if own else ["libnvrtc.so.13", "libnvrtc.so.12"]
    for name in (*names, "libnvrtc.so"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BuildError(f"no CUDA compiler: {', '.join(names)} cannot be loaded")


def _compile(source: str, arch: str, label: str, path: Path | None) -> Code:
    """Compile, and keep at `path`; whoever calls this is alone with the path."""
    nvrtc, program, start = library(), ctypes.c_void_p(), time.perf_counter()
    options = [o.encode() for o in (f"--gpu-architecture={arch}", *OPTIONS)]
    name, text = b"kernel.cu", source.encode()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, name, 0, None, None))
    try:
        words = (ctypes.c_char_p * len(options))(*options)
        if nvrtc.nvrtcCompileProgram(program, len(options), words):
            log = _get(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            lines = log.rstrip(b"\0").decode(errors="replace").splitlines()
            first = next((i for i, line in enumerate(lines) if "error" in line.lower()), 0)
            what = "\n  ".join(lines[first : first + 10])
            raise BuildError(f"NVRTC cannot compile the kernel {label} for {arch}:\n  {what}")
        content = _get(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    seconds = time.perf_counter() - start
    if path is None:
        return Code(content, Path(), seconds, cached=False)
    new = path.with_suffix(".tmp")
    facts = json.dumps({"label": label, "seconds": seconds, "arch": arch}).encode() + b"\n"
    new.write_bytes(hashlib.sha256(facts + content).digest() + facts + content)
    os.replace(new, path)
    return Code(content, path, seconds, cached=False)


def _read(path: Path) -> Code | None:
    """The entry at `path`, or None where there is none or it is not what was written."""
    try:
        entry = path.read_bytes()
    except OSError:
        return None
    if hashlib.sha256(entry[DIGEST:]).digest() != entry[:DIGEST]:
        return None
    facts, _, content = entry[DIGEST:].partition(b"\n")
    return Code(content, path, float(json.loads(facts)["seconds"]), cached=True)


def _get(size_of: Any, get: Any, program: ctypes.c_void_p) -> bytes:
    """What NVRTC hands out in two calls: its size, and the bytes."""
    size = ctypes.c_size_t()
    _check(size_of(program, ctypes.byref(size)))
    content = ctypes.create_string_buffer(size.value)
    _check(get(program, content))
    return content.raw


def _check(result: int) -> None:
    if result:
        library().nvrtcGetErrorString.restype = ctypes.c_char_p
        raise BuildError(f"NVRTC: {library().nvrtcGetErrorString(result).decode()}")
