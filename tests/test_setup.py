"""Set-up: which PETSc is taken, when work is repeated, what `neml2fe doctor` says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import set_up
import set_up_petsc
from packaging.requirements import Requirement
from set_up_steps import ROOT, Journal, SetupError

from neml2fe.cli import doctor

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def petsc_tree(directory: Path, version: str = "3.22", *, arch: str = "", flags: str = "") -> Path:
    """The headers that tell a PETSc's version and configuration, as PETSc lays them out."""
    major, minor = version.split(".")
    (directory / "include").mkdir(parents=True)
    (directory / "include" / "petscversion.h").write_text(
        f"#define PETSC_VERSION_RELEASE    1\n#define PETSC_VERSION_MAJOR      {major}\n"
        f"#define PETSC_VERSION_MINOR      {minor}\n#define PETSC_VERSION_SUBMINOR   1\n"
    )
    (directory / arch / "include").mkdir(parents=True, exist_ok=True)
    defines = "".join(f"#define PETSC_{flag} 1\n" for flag in ["HAVE_MUMPS", *flags.split()])
    (directory / arch / "include" / "petscconf.h").write_text(defines)
    (directory / arch / "lib" / "petsc" / "conf").mkdir(parents=True)
    variables = directory / arch / "lib" / "petsc" / "conf" / "petscvariables"
    variables.write_text("CXX = mpicxx\nPCC = /opt/mpi/bin/mpicc -wrapped\nPCC_FLAGS = -O2\n")
    return directory


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine on which no PETSc is known of."""
    for name in ("PETSC_DIR", "PETSC_ARCH", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(set_up_petsc, "DEBIAN_PETSC", tmp_path / "petscdir")
    monkeypatch.setattr(set_up_petsc.importlib.util, "find_spec", lambda name: None)
    return monkeypatch


def test_no_petsc_anywhere(bare: pytest.MonkeyPatch) -> None:
    assert set_up_petsc.find_petsc() is None


def test_newest_real_petsc_of_debian_is_taken(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    debian = tmp_path / "petscdir"
    petsc_tree(debian / "petsc3.9" / "x86_64-linux-gnu-real", "3.9")
    newest = petsc_tree(debian / "petsc3.18" / "aarch64-linux-gnu-real", "3.18")
    petsc_tree(debian / "petsc3.22" / "x86_64-linux-gnu-complex", "3.22", flags="USE_COMPLEX")
    petsc_tree(debian / "petsc64-3.22" / "x86_64-linux-gnu-real", "3.22")
    assert set_up_petsc.find_petsc() == set_up_petsc.Petsc(newest, "", (3, 18))


def test_the_petsc_of_the_user_comes_first(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    petsc_tree(tmp_path / "petscdir" / "petsc3.18" / "x86_64-linux-gnu-real", "3.18")
    conda = petsc_tree(tmp_path / "conda", "3.21")
    bare.setenv("CONDA_PREFIX", str(conda))
    assert set_up_petsc.find_petsc() == set_up_petsc.Petsc(conda, "", (3, 21))
    own = petsc_tree(tmp_path / "petsc", "3.23", arch="linux-opt")
    bare.setenv("PETSC_DIR", str(own))
    bare.setenv("PETSC_ARCH", "linux-opt")
    petsc = set_up_petsc.find_petsc()
    assert petsc == set_up_petsc.Petsc(own, "linux-opt", (3, 23))
    assert petsc.compiler == "/opt/mpi/bin/mpicc"
    assert not petsc.of_the_system


@pytest.mark.parametrize(
    ("flag", "complaint"),
    [
        ("USE_COMPLEX", "complex numbers"),
        ("USE_REAL_SINGLE", "single precision"),
        ("HAVE_MPIUNI", "no MPI"),
    ],
)
def test_unfit_petsc_is_refused(tmp_path: Path, flag: str, complaint: str) -> None:
    petsc_tree(tmp_path / "petsc", flags=flag)
    with pytest.raises(SetupError, match=complaint):
        set_up_petsc.read_petsc(tmp_path / "petsc")


def test_wrong_petsc_dir_is_an_error(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bare.setenv("PETSC_DIR", str(tmp_path))
    with pytest.raises(SetupError, match="no PETSc with headers in PETSC_DIR="):
        set_up_petsc.find_petsc()


@pytest.mark.parametrize(
    ("version", "cython"),
    [("3.18", "cython<3"), ("3.20", "cython>=3,<3.1"), ("3.23", "cython>=3")],
)
def test_cython_follows_petsc(tmp_path: Path, version: str, cython: str) -> None:
    petsc = set_up_petsc.read_petsc(petsc_tree(tmp_path / "petsc", version))
    assert cython in petsc.build_requirements
    assert any(line.startswith("numpy==") for line in petsc.build_requirements)


def pinned() -> dict[str, list[Requirement]]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins: dict[str, list[Requirement]] = {}
    for line in lines:
        if line and not line.startswith("#"):
            pin = Requirement(line)
            pins.setdefault(pin.name.lower().replace("_", "-"), []).append(pin)
    return pins


def test_constraints_pin_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    pins = pinned()
    for requirement in map(Requirement, wanted):
        if requirement.name == "petsc4py":
            assert "petsc4py" not in pins, "its version follows from the PETSc that is found"
            continue
        for pin in pins[requirement.name.lower()]:
            (specifier,) = pin.specifier
            assert specifier.operator == "=="
            assert requirement.specifier.contains(specifier.version), (requirement, pin)


def test_constraints_name_no_cuda_package() -> None:
    assert not [name for name in pinned() if name.startswith(("nvidia", "cuda", "triton"))]


@pytest.fixture
def steps(bare: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """`set_up.main` on an empty folder, with the steps counted in place of carried out."""
    done: list[str] = []
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==2.13.0\n")
    bare.setattr(set_up, "CONSTRAINTS", constraints)
    bare.setattr(set_up, "VENV", tmp_path / ".venv")
    for name in ("LOG", "STAMP", "UNFINISHED"):
        bare.setattr(set_up, name, tmp_path / ".venv" / name.lower())
    bare.setattr(set_up, "set_up", lambda journal: done.append("set up"))
    return done


def test_second_call_has_nothing_to_do(steps: list[str], bare: pytest.MonkeyPatch) -> None:
    assert set_up.main() == 0
    assert set_up.main() == 0
    assert len(steps) == 1
    set_up.CONSTRAINTS.write_text("torch==2.14.0\n")
    assert set_up.main() == 0
    assert len(steps) == 2


def test_petsc_that_appears_later_is_noticed(
    steps: list[str], bare: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    set_up.main()
    bare.setenv("PETSC_DIR", str(petsc_tree(tmp_path / "petsc")))
    set_up.main()
    assert len(steps) == 2


def test_failed_step_ends_with_one_message_and_is_tried_again(
    steps: list[str], bare: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    command = [sys.executable, "-c", "print('no space left'); raise SystemExit(3)"]

    def fail(journal: Journal) -> None:
        journal.run("pip install", command)

    bare.setattr(set_up, "set_up", fail)
    assert set_up.main() == 1
    message = capfd.readouterr().err
    assert "pip install failed (exit code 3)" in message
    assert "no space left" in message
    assert str(set_up.LOG) in message
    assert "no space left" in set_up.LOG.read_text()
    bare.setattr(set_up, "set_up", lambda journal: steps.append("set up"))
    assert set_up.main() == 0
    assert len(steps) == 1


def test_killed_set_up_starts_the_environment_afresh(
    steps: list[str], bare: pytest.MonkeyPatch
) -> None:
    bare.setattr(set_up, "PYTHON", set_up.VENV / "bin" / "python")
    half_written = set_up.VENV / "lib" / "half-written.py"

    def killed(journal: Journal) -> None:
        with set_up.unfinished():
            half_written.parent.mkdir()
            half_written.touch()
            raise KeyboardInterrupt

    bare.setattr(set_up, "set_up", killed)
    assert set_up.main() == 130
    made: list[list[str]] = []
    bare.setattr(set_up.importlib.util, "find_spec", lambda name: object())
    bare.setattr(Journal, "run", lambda self, what, command: made.append(command))
    with set_up.LOG.open("a") as log:
        set_up.make_venv(Journal(log))
    assert made == [[sys.executable, "-m", "venv", set_up.VENV]]
    assert not half_written.exists()
    assert not set_up.UNFINISHED.exists()


Rows = dict[str, tuple[str, str]]


@pytest.fixture
def rows() -> Callable[[], Rows]:
    return lambda: {name: (status, detail) for name, status, detail in doctor.report()}


def test_doctor_names_every_component(rows: Callable[[], Rows]) -> None:
    found = rows()
    for component in ("Python", "torch", "devices", "C++ compiler", "PETSc", "mpiexec", "threads"):
        assert component in found
    assert {status for status, _ in found.values()} <= {"ok", "missing", "note"}
    assert found["devices"][1].startswith("cpu")


@pytest.mark.parametrize(
    "broken",
    [
        "raise ImportError('libpetsc.so: cannot open shared object file')",
        "raise OSError('libmpi.so.40: not found')",
        "import os; os.abort()",
    ],
)
def test_doctor_survives_broken_petsc_and_mpi(
    rows: Callable[[], Rows], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str
) -> None:
    for package in ("petsc4py", "mpi4py"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = rows()
    for component in ("PETSc", "MPI library"):
        status, detail = found[component]
        assert status == "missing"
        assert "make setup" in detail


def test_doctor_tells_what_is_not_in_path(
    rows: Callable[[], Rows], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    found = rows()
    assert found["C++ compiler"] == ("missing", "apt-get install g++")
    assert found["mpiexec"] == ("missing", "apt-get install openmpi-bin")


def test_doctor_notices_the_launcher_of_another_mpi(
    rows: Callable[[], Rows], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if doctor._ask(doctor.MPI_PROBE)[0] is None:
        pytest.skip("mpi4py or its MPI library is not installed")
    open_mpi = rows()["MPI library"][1].startswith("Open MPI")
    launcher = tmp_path / "mpiexec"
    says = "HYDRA build details:" if open_mpi else "mpiexec (OpenRTE) 4.1.4"
    launcher.write_text(f"#!/bin/sh\necho '{says}'\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    status, detail = rows()["mpiexec"]
    assert status == "note"
    assert "does not belong to" in detail


def test_doctor_notices_a_slow_blas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "ALTERNATIVES", tmp_path)
    assert doctor._blas() == []
    for choice, status in (("blas", "note"), ("openblas-pthread", "ok")):
        (tmp_path / choice).mkdir()
        (tmp_path / choice / "libblas.so.3").touch()
        link = tmp_path / "libblas.so.3-x86_64-linux-gnu"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / choice / "libblas.so.3")
        assert [row[1] for row in doctor._blas()] == [status]


def test_doctor_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main() == 0
    assert "neml2fe doctor" in capsys.readouterr().out


@pytest.mark.mpi
def test_two_ranks_share_one_petsc(tmp_path: Path) -> None:
    if shutil.which("mpiexec") is None or doctor._ask(doctor.PETSC_PROBE)[0] is None:
        pytest.skip("mpiexec or petsc4py is not installed")
    script = tmp_path / "ranks.py"
    script.write_text(
        "from mpi4py import MPI\n"
        "from petsc4py import PETSc\n"
        "vector = PETSc.Vec().createMPI((3, None), comm=MPI.COMM_WORLD)\n"
        "vector.set(1.0 + vector.comm.tompi4py().rank)\n"
        "total = vector.sum()\n"
        "if vector.comm.rank == 0:\n"
        "    print(vector.comm.size, total)\n"
    )
    ranks = subprocess.run(
        ["mpiexec", "-n", "2", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
        },
    )
    assert ranks.returncode == 0, ranks.stderr
    assert ranks.stdout.split() == ["2", "9.0"]
