"""Generated source becomes machine code for a GPU, by NVRTC as torch brings it, which needs no
other compiler and no headers."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from neml2fe.kernels.build import complaint
from neml2fe.kernels.store import BuildError, Built, kept

FUNCTION = "neml2fe_run"
OPTIONS = ("--std=c++17",)


def load(code: Built, device: torch.device) -> Callable[..., None]:
    """The kernel on `device`: call it with grid, block and tensors; it runs on torch's current
    stream. Raises `BuildError` where the driver refuses it, or torch is too old."""
    try:
        load_module: Any = torch.cuda._utils._cuda_load_module
    except AttributeError as error:
        what = "cannot load a CUDA kernel: it lacks torch.cuda._utils._cuda_load_module"
        raise BuildError(f"torch {torch.__version__} {what}; take a newer torch") from error
    try:
        with torch.cuda.device(device):
            module = load_module(code.path.read_bytes(), [FUNCTION])
    except (RuntimeError, OSError) as error:
        raise BuildError(f"{device} cannot load a kernel: {error}") from error
    return module[FUNCTION]  # type: ignore[no-any-return]


def architecture(device: torch.device) -> str:
    """What NVRTC calls the kind of a GPU."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{major}{minor}"


def compiled(source: str, arch: str, label: str = "") -> Built:
    """Machine code of a CUDA source for GPUs of the kind `arch`, from the cache or put into it.

    Raises `BuildError` where NVRTC fails.
    """
    options = [f"--gpu-architecture={arch}", *OPTIONS]

    def make(text: Path, to: Path) -> None:
        to.write_bytes(_compile(source, options, f"{label} for {arch}"))

    return kept(".cubin", source, {"options": options, "nvrtc": version()}, make)


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


def _compile(source: str, options: Sequence[str], what: str) -> bytes:
    nvrtc, program = library(), ctypes.c_void_p()
    words = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    create, text = nvrtc.nvrtcCreateProgram, source.encode()
    _check(create(ctypes.byref(program), text, b"kernel.cu", 0, None, None))
    try:
        if nvrtc.nvrtcCompileProgram(program, len(options), words):
            log = _get(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)
            said = complaint(log.rstrip(b"\0").decode(errors="replace"))
            raise BuildError(f"NVRTC cannot compile the kernel {what}:\n  {said}")
        return _get(nvrtc.nvrtcGetCUBINSize, nvrtc.nvrtcGetCUBIN, program)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


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
