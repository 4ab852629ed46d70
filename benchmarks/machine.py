"""What a run was made on: no names of hosts or users, no paths."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import torch


def describe() -> dict[str, object]:
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "cpu": cpu_field("model name") or platform.processor(),
        "cores": os.cpu_count(),
        "flags": [f for f in ("avx2", "avx512f") if f in cpu_field("flags").split()],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}, {distribution()}",
        "compiler": first_line(os.environ.get("CXX", "c++"), "--version"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": first_line("git", "rev-parse", "HEAD")
        + (" and changes" if first_line("git", "status", "--porcelain", "neml2fe") else ""),
    }


def cpu_field(name: str) -> str:
    """The first field of this name in /proc/cpuinfo, or nothing."""
    source = Path("/proc/cpuinfo")
    for line in source.read_text().splitlines() if source.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.release()


def first_line(*command: str) -> str:
    """First line that the command prints, from the repository's root; nothing where it fails."""
    root = Path(__file__).parent.parent
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0] if done.returncode == 0 else ""
