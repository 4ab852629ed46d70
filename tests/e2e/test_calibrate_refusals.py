"""`neml2fe calibrate`: data, decks and command lines that cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from e2e_runs import Ended, settings

Cli = Callable[..., Ended]


# --- bad data --------------------------------------------------------------------------
def refused(quick: Path, neml2fe: Cli, *words: str) -> None:
    """One message, which names the block that reads the file, and no results."""
    deck = quick / "one.i"
    lines = deck.read_text().splitlines()
    ended = neml2fe("calibrate", deck, "-q")
    ended.refused(f"{deck}:{1 + lines.index('  [fast]')}: [Specimens/fast]", *words)
    assert not (quick / "results").exists()


def test_nan_in_a_csv(quick: Path, neml2fe: Cli) -> None:
    data = quick / "data/fast.csv"
    lines = data.read_text().splitlines()
    lines[7] = lines[7].rpartition(",")[0] + ",NaN"
    data.write_text("\n".join(lines) + "\n")
    refused(quick, neml2fe, "fast.csv:8:", "'Stress'", "'NaN'")
    deck = quick / "one.i"
    deck.write_text(deck.read_text().replace("data/fast.csv'", "data/fast.csv'\nmissing = mask"))
    ended = neml2fe("calibrate", deck, "--no-report")
    assert ended.code == 0 and "1 specimen with 49 measured values" in ended.out


def test_missing_column(quick: Path, neml2fe: Cli) -> None:
    data = quick / "data/fast.csv"
    data.write_text(data.read_text().replace("Stress", "Force"))
    refused(quick, neml2fe, "fast.csv:1:", "'Stress'", "Force")


@pytest.mark.parametrize(("rows", "words"), [(0, "no rows of data"), (1, "one row of data")])
def test_no_history(rows: int, words: str, quick: Path, neml2fe: Cli) -> None:
    data = quick / "data/fast.csv"
    data.write_text("".join(data.read_text().splitlines(True)[: 1 + rows]))
    refused(quick, neml2fe, "fast.csv", words, "at least two")


def test_empty_and_absent_files(quick: Path, neml2fe: Cli) -> None:
    (quick / "data/fast.csv").write_text("")
    refused(quick, neml2fe, "fast.csv", "empty")
    (quick / "data/fast.csv").unlink()
    refused(quick, neml2fe, "fast.csv", "No such file")


def test_a_specimen_that_cannot_converge_is_left_out(quick: Path, neml2fe: Cli) -> None:
    """Creep under a hundred thousand times the stress."""
    rows = (quick / "data/creep.csv").read_text().splitlines()
    cells = [row.split(",") for row in rows[1:]]
    wild = [",".join((t, str(1e5 * float(stress)), strain)) for t, stress, strain in cells]
    (quick / "data/creep.csv").write_text("\n".join([rows[0], *wild]) + "\n")
    known = settings("Calibrations/fit/specimens=tension creep")
    ended = neml2fe("calibrate", quick / "fit.i", *known)
    assert ended.code == 0
    assert "warning: specimen creep is left out: " in ended.out and "at row" in ended.out
    assert "**Specimen creep is left out**" in (quick / "results/fit/report.md").read_text()
    alone = settings("Calibrations/fit/specimens=creep")
    ended = neml2fe("calibrate", quick / "fit.i", "-q", *alone)
    last = ended.err.splitlines()[-1]
    assert ended.code == 1 and "no specimen can be simulated" in last
    assert "substeps = 4 in [Calibrations/fit]" in last


# --- bad decks and command lines -------------------------------------------------------
@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("surface.sy'", "surface.s0'", ["[Parameters/yield_stress]", "'yield_surface.sy'"]),
        ("model = 'steel'", "model = 'steal'", ["model", "'steel'"]),
        ("    model = 'steel'\n", "", ["[Calibrations/fit]", "'model'"]),
        ("noise = 'gaussian'", "noise = 'normal'", ["noise", "gaussian"]),
        ("initial = 120", "initial = 12", ["[Parameters/yield_stress]", "outside of its bounds"]),
        ("    lower = 50\n", "", ["[Parameters/yield_stress]", "'lower' is missing"]),
        ("units = 's % MPa'", "units = 's % mm'", ["units", "'mm'"]),
        ("'2 2e-5'", "'2 0'", ["[Calibrations/fit]", "sigma"]),
        ("control = 'stress_11'", "control = 'stress_12'", ["[Specimens/creep]", "'stress_12'"]),
        ("[Calibrations]", "[Calibration]", ["'Calibrations'"]),
    ],
)  # fmt: skip
def test_bad_deck(right: str, wrong: str, words: list[str], quick: Path, neml2fe: Cli) -> None:
    deck = quick / "fit.i"
    text = deck.read_text()
    assert right in text
    deck.write_text(text.replace(right, wrong, 1))
    neml2fe("calibrate", deck, "-q").refused(f"{deck}:", *words)
    assert not (quick / "results").exists()


def test_misused_command_line(quick: Path, neml2fe: Cli) -> None:
    deck = quick / "one.i"
    neml2fe("calibrate", quick / "none.i").refused("none.i")
    neml2fe("calibrate", deck, "fti").refused("'fti'", "'fit'")
    neml2fe("calibrate", deck, "-q", "--max-iterations", "-1").refused("max_iterations")
    (quick / "file").write_text("")
    neml2fe("calibrate", deck, "-q", "-o", quick / "file").refused("is a file")
    text = deck.read_text()
    deck.write_text(text[: text.index("[Calibrations]")])
    neml2fe("calibrate", deck).refused("no [Calibrations]")
    for words in ([], [deck, "--nosuch"], [deck, "--max-iterations", "many"]):
        assert neml2fe("calibrate", *words).code == 2
