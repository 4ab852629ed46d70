"""What the steps of the set-up share: where things are, progress lines, apt-get."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
PYTHON_PACKAGE = f"python{sys.version_info[0]}.{sys.version_info[1]}"  # Debian's name for it


class SetupError(Exception):
    """A step that failed, in one sentence that says what to do about it."""


class Journal:
    """Progress lines for the reader; the output of every command in `setup.log`."""

    def __init__(self, log: TextIO) -> None:
        self.log = log
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        line = f"[{time.monotonic() - self.start:4.0f} s] {text}"
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    def run(
        self, what: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None
    ) -> None:
        """Run `command` without standard input; raise with its last lines when it fails."""
        words = [str(word) for word in command]
        print(f"$ {shlex.join(words)}", file=self.log, flush=True)
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        last: deque[str] = deque(maxlen=8)
        for line in process.stdout:
            print(f"{what}: {line}", end="", file=self.log, flush=True)
            last.append(line)
        if process.wait():
            self.say(f"{what} failed")
            raise SetupError(f"{what} failed (exit code {process.returncode}):\n{''.join(last)}")


def apt_get() -> list[str] | None:
    """The command that installs Debian packages here, or None when there is none."""
    if shutil.which("apt-get") is None:
        return None
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]
    if os.geteuid() == 0:
        return install
    sudo = ["sudo", "-n"]
    if shutil.which("sudo") and not subprocess.run([*sudo, "true"], capture_output=True).returncode:
        return [*sudo, *install]
    return None


def install_packages(journal: Journal, apt: Sequence[str], packages: Sequence[str]) -> None:
    journal.say(f"Debian packages: {' '.join(packages)}")
    journal.run("apt-get update", [*apt, "update"])
    journal.run("apt-get", [*apt, "install", "-y", "--no-install-recommends", *packages])
