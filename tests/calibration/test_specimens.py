"""Specimens: from CSV files of all kinds and from tensors; padding adds nothing; mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from neml2fe.calibration.csvspecimen import CSVColumn, CSVSpecimen
from neml2fe.calibration.noise import GaussianNoise, HuberNoise, Noise, StudentNoise
from neml2fe.calibration.specimens import Specimens
from neml2fe.calibration.units import UNITS, convert
from neml2fe.drivers import MixedControlDriver
from neml2fe.errors import InputError
from neml2fe.input import load_input
from neml2fe.types import SR2, Scalar

PERZYNA = Path(__file__).parents[1] / "drivers" / "perzyna.i"
TIME = CSVColumn("time", "time")
STRAIN = CSVColumn("strain", "strain_11")
STRESS = CSVColumn("stress", "stress_11")
SHEAR = math.sqrt(2.0)
TENSION = "time,strain,stress\n0,0,0\n1,0.01,100\n2,0.02,150\n4,0.04,180\n"


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def write(folder: Path, text: str, **options: Any) -> CSVSpecimen:
    file = folder / "bar 7.csv"
    file.write_bytes(text.encode())
    return CSVSpecimen(file, **{"columns": [TIME, STRAIN, STRESS], **options})


def close(value: Tensor, *expected: float) -> None:
    torch.testing.assert_close(value, tensor(*expected), rtol=1e-14, atol=1e-14)


# --- units --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "unit", "to", "expected"),
    [
        (1.0, "psi", "Pa", 6894.757293168361),
        (50.0, "ksi", "MPa", 344.73786465841805),
        (2.0, "GPa", "MPa", 2000.0),
        (3.0, "kPa", "Pa", 3000.0),
        (2.5, "%", "1", 0.025),
        (4.0, "permille", "%", 0.4),
        (1200.0, "microstrain", "1", 1.2e-3),
        (90.0, "min", "h", 1.5),
        (250.0, "ms", "s", 0.25),
        (20.0, "degC", "K", 293.15),
        (-40.0, "degF", "degC", -40.0),
        (212.0, "degF", "K", 373.15),
        (300.0, "K", "degF", 80.33),
    ],
)
def test_units(value: float, unit: str, to: str, expected: float) -> None:
    assert convert(value, unit, to) == pytest.approx(expected, rel=1e-13)
    assert convert(expected, to, unit) == pytest.approx(value, rel=1e-13)
    assert convert(np.array([value, value]), unit, to) == pytest.approx([expected] * 2, rel=1e-13)
    close(convert(tensor(value), unit, to), convert(value, unit, to))


def test_units_of_all_pairs_go_there_and_back() -> None:
    for units in UNITS.values():
        for unit in units:
            for to in units:
                there = convert(137.0, unit, to)
                assert convert(there, to, unit) == pytest.approx(137.0, rel=1e-12)


def test_units_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"no unit 'bar'; known are stress: Pa, kPa, MPa"):
        convert(1.0, "bar", "MPa")
    with pytest.raises(InputError, match=r"'MPa' \(stress\).*'s' \(time\); units of stress: Pa"):
        convert(1.0, "MPa", "s")


# --- specimens from tensors ---------------------------------------------------------------
def test_uniaxial_strain_drives() -> None:
    times = torch.arange(3.0, dtype=torch.float64)[:, None].expand(3, 2)
    made = Specimens.uniaxial(
        times, 0.01 * times, 100.0 * times, temperature=tensor(300.0, 400.0), weights=2.0
    )
    assert made.names == ("specimen 0", "specimen 1")
    close(made.control[1, 1], 0, 1, 1, 1, 1, 1)
    close(made.strain[2, 0], 0.02, 0, 0, 0, 0, 0)
    assert not bool(made.stress.any())
    close(made.measured["stress"][2, 1], 200, 0, 0, 0, 0, 0)
    close(made.weights["stress"][:, 0, 0], 0, 2, 2)
    assert made.n_values.tolist() == [2, 2]
    close(made.fields["temperature"][1], 300, 400)
    close(made.conditions["temperature"], 300, 400)


def test_uniaxial_stress_drives() -> None:
    times = torch.arange(3.0, dtype=torch.float64)[:, None]
    strain = tensor(0.0, math.nan, 0.2)[:, None]
    made = Specimens.uniaxial(
        times, strain, times, driven_by="stress", weights=tensor(1, 0, 1)[:, None]
    )
    assert bool((made.control == 1.0).all())
    close(made.stress[:, 0, 0], 0, 1, 2)
    close(made.measured["strain"][:, 0, 0], 0, 0, 0.2)
    assert made.n_values.tolist() == [1]
    with pytest.raises(InputError, match="row 1: measured strain is not finite"):
        Specimens.uniaxial(times, strain, times, driven_by="stress")


def random_specimen(name: str, rows: int, seed: int) -> Specimens:
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    made = Specimens.uniaxial(
        (0.1 + uniform(rows, 1)).cumsum(0),
        uniform(rows, 1),
        100 * uniform(rows, 1),
        temperature=300 * uniform(1),
        names=[name],
        weights=uniform(rows, 1),
    )
    damage = uniform(rows, 1)
    return replace(
        made,
        measured={**made.measured, "damage": damage},
        weights={**made.weights, "damage": (damage > 0.5).double()},
    )


def simulate(specimens: Specimens) -> dict[str, Tensor]:
    """A stand-in for a model with history: not zero in padded rows."""
    rate = specimens.strain.diff(dim=0, prepend=specimens.strain[:1]) + 0.1
    stress = 50.0 * rate.cumsum(0) + specimens.fields["temperature"][..., None]
    return {"stress": stress, "damage": specimens.times.tanh()}


NOISES = [GaussianNoise(2.0), HuberNoise(2.0), StudentNoise(2.0)]


@given(
    st.lists(st.integers(2, 9), min_size=1, max_size=4), st.integers(0, 99), st.sampled_from(NOISES)
)
def test_padding_adds_nothing_to_a_loss(lengths: list[int], seed: int, noise: Noise) -> None:
    parts = [random_specimen(f"bar {i}", n, seed + i) for i, n in enumerate(lengths)]
    stacked = Specimens.stack(parts)

    def loss(specimens: Specimens) -> float:
        return float(noise.loss(simulate(specimens), specimens.measured, specimens.weights))

    assert loss(stacked) == pytest.approx(sum(loss(part) for part in parts), rel=1e-12)
    assert stacked.lengths.tolist() == lengths
    assert stacked.n_values.tolist() == [int(part.n_values) for part in parts]
    assert stacked.is_data.sum(0).tolist() == lengths
    for name, weight in stacked.weights.items():
        total = sum(float(part.weights[name].sum()) for part in parts)
        assert float(weight.sum()) == pytest.approx(total, rel=1e-12)
    # Poison in padded rows is not seen.
    poisoned = simulate(stacked)
    for x in poisoned.values():
        x[~stacked.is_data] = math.nan
    assert float(noise.loss(poisoned, stacked.measured, stacked.weights)) == loss(stacked)


def test_padded_rows_hold_what_was_prescribed_and_time_goes_on() -> None:
    short, long = random_specimen("a", 3, 1), random_specimen("b", 6, 2)
    made = Specimens.stack([short, long])
    last = made.times[2, 0] - made.times[1, 0]
    torch.testing.assert_close(made.times[:, 0].diff()[2:], last.expand(3))
    for name in ("strain", "stress", "control"):
        assert torch.equal(getattr(made, name)[3:, 0], getattr(made, name)[2, 0].expand(3, 6))
    assert torch.equal(
        made.fields["temperature"][3:, 0], made.fields["temperature"][2, 0].expand(3)
    )
    assert not bool(made.measured["stress"][3:, 0].any())


def test_a_material_gives_the_same_loss_alone_and_stacked(tmp_path: Path) -> None:
    """Tension and creep of a viscoplastic model, of 2 and 4 rows, by the mixed-control driver."""
    model = load_input(PERZYNA).get_model("material")
    creep = "time,stress,strain\n0,0,0\n1,125,1e-3\n3,130,2e-3\n9,130,2e-3\n"
    parts = [
        write(tmp_path, "time,strain,stress\n0,0,0\n1,1e-3,200\n", name="a").read(),
        write(tmp_path, creep, control=("stress_11",), name="b").read(),
    ]

    def loss(specimens: Specimens) -> Tensor:
        history = MixedControlDriver(
            model,
            Scalar(specimens.times),
            SR2(specimens.control),
            SR2(specimens.strain),
            SR2(specimens.stress),
        ).run()
        found = {
            "stress": torch.stack([step["stress"] for step in history.outputs]),
            "strain": torch.stack([step[history.strain or ""] for step in history.inputs]),
        }
        predicted = {name: found[name] for name in specimens.measured}
        noise = GaussianNoise({"stress": 10.0, "strain": 1e-4})
        return noise.loss(predicted, specimens.measured, specimens.weights)

    alone = [loss(part) for part in parts]
    assert all(part > 1.0 for part in alone)
    torch.testing.assert_close(loss(Specimens.stack(parts)), sum(alone), rtol=1e-8, atol=0.0)


def same(a: Specimens, b: Specimens) -> bool:
    tables = [(a.fields, b.fields), (a.measured, b.measured), (a.weights, b.weights)]
    return (
        a.names == b.names
        and all(
            torch.equal(getattr(a, n), getattr(b, n))
            for n in ("times", "lengths", "control", "strain", "stress")
        )
        and all(x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x) for x, y in tables)
    )


def test_selecting_gives_back_what_was_stacked() -> None:
    parts = [random_specimen(f"bar {i}", n, i) for i, n in enumerate((3, 7, 4))]
    stacked = Specimens.stack(parts)
    for i, part in enumerate(parts):
        assert same(stacked.select([i]), part)
        assert same(stacked.select([part.names[0]]), part)
    assert same(stacked.select([2, -3]), Specimens.stack([parts[2], parts[0]]))
    assert same(Specimens.stack([stacked.select([0, 1]), parts[2]]), stacked)
    with pytest.raises(InputError, match="index 3 does not select among 3"):
        stacked.select([3])
    with pytest.raises(InputError, match="no specimen 'bar 8'; did you mean 'bar"):
        stacked.select(["bar 8"])
    with pytest.raises(InputError, match="an empty selection"):
        stacked.select([])


def test_stacking_different_tests() -> None:
    tension, creep = random_specimen("tension", 3, 0), random_specimen("creep", 4, 1)
    times = creep.times
    creep = Specimens.uniaxial(
        times, times, times, temperature=500.0, driven_by="stress", names=["creep"]
    )
    made = Specimens.stack([tension, replace(creep, conditions={})])
    assert set(made.measured) == {"stress", "damage", "strain"}
    assert not bool(made.weights["damage"][:, 1].any())
    assert not bool(made.weights["strain"][:, 0].any())
    assert made.conditions["temperature"].isnan().tolist() == [False, True]
    with pytest.raises(InputError, match="specimen 'creep' has no 'temperature', which others"):
        Specimens.stack([tension, replace(creep, fields={})])
    with pytest.raises(InputError, match="different names, got tension, tension"):
        Specimens.stack([tension, tension])
    with pytest.raises(InputError, match="no specimens"):
        Specimens.stack([])


def test_another_type() -> None:
    made = random_specimen("a", 3, 0).to(dtype=torch.float32)
    assert made.times.dtype == made.weights["stress"].dtype == torch.float32
    assert made.lengths.dtype == torch.int64


def spoil(made: Specimens, name: str, key: str, value: Any, at: Sequence[int]) -> Specimens:
    table = getattr(made, name)
    x = (table[key] if key else table).clone()
    x[tuple(at)] = value
    return replace(made, **{name: {**table, key: x} if key else x})


@pytest.mark.parametrize(
    ("name", "key", "value", "at", "message"),
    [
        ("times", "", 0.0, [2, 1], "specimen 'b', row 2: times does not grow"),
        ("times", "", math.nan, [0, 0], "specimen 'a', row 0: times is not finite"),
        ("control", "", 0.5, [1, 0, 3], "'a', row 1: control is neither 0 nor 1"),
        ("strain", "", 0.1, [1, 1, 2], "'b', row 1: strain is prescribed against the control"),
        ("stress", "", 0.1, [1, 1, 0], "'b', row 1: stress is prescribed against the control"),
        ("strain", "", math.inf, [1, 1, 0], "'b', row 1: strain is not finite"),
        ("fields", "temperature", math.nan, [4, 1], "'b', row 4: temperature is not finite"),
        ("measured", "damage", math.nan, [1, 0], "'a', row 1: measured damage is not finite"),
        ("weights", "stress", -1.0, [1, 0, 0], "'a', row 1: weight of stress is not a number of"),
        ("weights", "stress", math.inf, [1, 0, 0], "weight of stress is not a number of"),
        ("weights", "damage", 1.0, [3, 0], "'a', row 3: weight of damage is on a padded row"),
        ("lengths", "", 1, [0], "'a' has 1 of 5 rows; it needs at least two"),
        ("lengths", "", 6, [1], "'b' has 6 of 5 rows"),
    ],
)
def test_values_that_cannot_be(
    name: str, key: str, value: float, at: list[int], message: str
) -> None:
    made = Specimens.stack([random_specimen("a", 3, 0), random_specimen("b", 5, 1)])
    with pytest.raises(InputError, match=message):
        spoil(made, name, key, value, at)


def test_shapes_that_do_not_fit() -> None:
    made = random_specimen("a", 3, 0)
    for change, message in (
        ({"strain": made.strain[1:]}, r"strain has shape \(2, 1, 6\), expected \(3, 1, 6\)"),
        ({"fields": {"T": made.times[1:]}}, r"fields 'T' has shape \(2, 1\), expected \(3, 1\)"),
        ({"conditions": {"T": tensor(1, 2)}}, r"condition 'T' has shape \(2,\), expected \(1,\)"),
        ({"weights": {}}, "measured are stress, damage, but the weights are those of none"),
        ({"times": made.times.long()}, "floating-point tensor"),
        ({"names": ("a", "b")}, "1 specimens need as many different names, got a, b"),
    ):
        with pytest.raises(InputError, match=message):
            replace(made, **change)
    with pytest.raises(InputError, match=r"strain has shape \(2, 1\), expected \(3, 1\)"):
        Specimens.uniaxial(made.times, made.times[1:])
    with pytest.raises(InputError, match=r"temperature has shape \(2,\); it must be"):
        Specimens.uniaxial(made.times, made.times, temperature=tensor(1, 2))
    with pytest.raises(InputError, match="driven_by = 'force'"):
        Specimens.uniaxial(made.times, made.times, driven_by="force")


# --- CSV files ----------------------------------------------------------------------------
def test_a_tension_test(tmp_path: Path) -> None:
    made = write(tmp_path, TENSION, constants={"temperature": 800.0}, weight=3.0).read()
    assert made.names == ("bar 7",)
    close(made.times[:, 0], 0, 1, 2, 4)
    close(made.strain[:, 0, 0], 0, 0.01, 0.02, 0.04)
    close(made.control[1, 0], 0, 1, 1, 1, 1, 1)
    close(made.measured["stress"][:, 0, 0], 0, 100, 150, 180)
    close(made.weights["stress"][:, 0, 0], 0, 3, 3, 3)
    assert not bool(made.weights["stress"][..., 1:].any())
    close(made.fields["temperature"][:, 0], 800, 800, 800, 800)
    close(made.conditions["temperature"], 800)
    close(made.conditions["strain_rate"], 0.01)


@pytest.mark.parametrize(
    "text",
    [
        TENSION.replace("\n", "\r\n"),
        "\ufeff" + TENSION,
        TENSION.replace(",", ";"),
        TENSION.replace(",", "\t"),
        TENSION.replace(",", ";").replace(".", ","),
        TENSION.replace(",", " ; ").replace("0.0", ",0"),
        TENSION.replace(",", "\t").replace(".", ","),
        "# machine 4\n" + TENSION.replace("\n1,", "\n\n  # pause\n1,"),
        TENSION.replace("\n", ",,\n"),
        TENSION.replace("\n", ",\n")[:-2],
        '"time","strain",stress\n' + TENSION.split("\n", 1)[1],
    ],
)
def test_the_ways_of_writing_a_file(tmp_path: Path, text: str) -> None:
    plain = write(tmp_path, TENSION).read()
    assert same(write(tmp_path, text).read(), plain)


def test_lines_around_the_header_and_encoding(tmp_path: Path) -> None:
    rows = TENSION.split("\n", 1)[1]
    text = f'operator: N, N\n;;;\n"stress\n[MPa]",strain ,time\n-,µ,s\n{rows}'
    columns = [CSVColumn("stress [MPa]", "time"), STRAIN, CSVColumn("time", "stress_11")]
    specimen = write(tmp_path, text, columns=columns, skip_before=2, skip_after=1)
    plain = write(tmp_path, TENSION).read()
    specimen.file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="not a CSV file in the encoding utf-8-sig"):
        specimen.read()
    assert same(replace(specimen, encoding="latin-1").read(), plain)
    with pytest.raises(InputError, match=r"csv:5: column 'stress \[MPa\]'.*got '-'.*skip_after"):
        replace(specimen, encoding="latin-1", skip_after=0).read()
    with pytest.raises(InputError, match="not a CSV file in the encoding nope"):
        replace(specimen, encoding="nope").read()
    assert same(write(tmp_path, TENSION.replace(",", "|"), delimiter="|").read(), plain)


def test_units_weights_and_sigma_of_columns(tmp_path: Path) -> None:
    columns = [
        CSVColumn("time", "time", "min", "s"),
        CSVColumn("strain", "strain_11", "%", "1"),
        CSVColumn("stress", "stress_11", "GPa", "MPa", weight=2.0, sigma=4.0),
    ]
    made = write(tmp_path, TENSION, columns=columns, weight=3.0).read()
    close(made.times[:, 0], 0, 60, 120, 240)
    close(made.strain[1, 0, :1], 1e-4)
    close(made.measured["stress"][1, 0, :1], 1e5)
    close(made.weights["stress"][1, 0, :1], 3 * 2 / 16)
    predicted = {"stress": made.measured["stress"] + 8.0}
    made = write(tmp_path, TENSION, columns=[*columns[:2], replace(columns[2], weight=1.0)]).read()
    residuals = GaussianNoise(1.0).residuals(predicted, made.measured, made.weights)
    close(residuals, 2, 2, 2)


def test_shear_and_lateral_strain(tmp_path: Path) -> None:
    """Shear in Mandel notation; with a sigma the residual is that of the column."""
    text = "t,gamma,tau,lateral\n0,0,0,0\n1,0.02,50,-0.003\n"
    columns = [
        CSVColumn("t", "time"),
        CSVColumn("gamma", "gamma_12"),
        CSVColumn("tau", "stress_12", sigma=5.0),
        CSVColumn("lateral", "strain_22"),
    ]
    made = write(tmp_path, text, columns=columns, control=("gamma_12",)).read()
    close(made.control[1, 0], 1, 1, 1, 1, 1, 0)
    close(made.strain[1, 0], 0, 0, 0, 0, 0, 0.01 * SHEAR)
    close(made.measured["stress"][1, 0], 0, 0, 0, 0, 0, 50 * SHEAR)
    close(made.measured["strain"][1, 0], 0, -0.003, 0, 0, 0, 0)
    assert made.n_values.tolist() == [2]
    close(made.conditions["strain_rate"], 0.02)
    predicted = {**made.measured, "stress": made.measured["stress"] + 10.0 * SHEAR}
    close(GaussianNoise(1.0).residuals(predicted, made.measured, made.weights), 2, 0)


def test_stress_drives(tmp_path: Path) -> None:
    made = write(tmp_path, TENSION, control=("stress_11",)).read()
    assert bool((made.control == 1.0).all())
    close(made.stress[:, 0, 0], 0, 100, 150, 180)
    close(made.measured["strain"][:, 0, 0], 0, 0.01, 0.02, 0.04)
    assert list(made.measured) == ["strain"]
    assert not made.conditions  # a rate of stress is none of strain


def test_all_strains_drive(tmp_path: Path) -> None:
    text = "time,strain,stress,e22\n0,0,0,0\n1,0.01,9,-0.002\n"
    columns = [TIME, STRAIN, STRESS, CSVColumn("e22", "strain_22")]
    control = ("strain_11", "strain_22")
    made = write(tmp_path, text, columns=columns, control=control, others="strain").read()
    assert not bool(made.control.any())
    close(made.strain[1, 0], 0.01, -0.002, 0, 0, 0, 0)
    close(made.measured["stress"][1, 0], 9, 0, 0, 0, 0, 0)
    mixed = write(tmp_path, text, columns=columns, control=control).read()
    close(mixed.control[1, 0], 0, 0, 1, 1, 1, 1)


def test_other_inputs_and_outputs(tmp_path: Path) -> None:
    text = "time,strain,T,dose,p\n0,0,20,1,0\n2,0.01,30,2,0.4\n"
    columns = [
        TIME,
        STRAIN,
        CSVColumn("T", "temperature", "degC", "K"),
        CSVColumn("dose", "dose"),
        CSVColumn("p", "porosity", weight=7.0),
    ]
    made = write(tmp_path, text, columns=columns, inputs=("temperature", "dose")).read()
    close(made.fields["temperature"][:, 0], 293.15, 303.15)
    close(made.fields["dose"][:, 0], 1, 2)
    assert made.measured["porosity"].shape == (2, 1)
    close(made.weights["porosity"][:, 0], 0, 7)
    close(made.conditions["temperature"], 298.15)


def test_a_rate_in_place_of_times(tmp_path: Path) -> None:
    text = "strain,stress\n0.001,1\n0.003,2\n-0.001,3\n"
    specimen = write(tmp_path, text, columns=[STRAIN, STRESS], strain_rate=1e-3)
    made = specimen.read()
    close(made.times[:, 0], 0, 1, 3, 7)
    close(made.strain[:, 0, 0], 0, 0.001, 0.003, -0.001)
    close(made.conditions["strain_rate"], 1e-3)
    close(replace(specimen, start="first").read().times[:, 0], 1, 3, 7)
    made = replace(specimen, leave_out=[("time", 2.5, 3.5)]).read()
    close(made.weights["stress"][:, 0, 0], 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("strains", "options", "start"),
    [
        ((0.002, 0.003), {}, 8.0),  # 1e-3 each second: two seconds earlier
        ((-0.002, -0.006), {}, 9.5),
        ((0.002, 0.002), {}, 10.0 - 1e-6),  # held: applied at once
        ((0.002, 0.00201), {}, 10.0 - 1e-6),  # below 1 % in the first increment: held
        ((0.002, 0.002), {"start_time": 9.0}, 9.0),
        ((0.002, 0.003), {"start_time": 0.0}, 0.0),
    ],
)
def test_a_preload_gets_an_undeformed_row_before_it(
    tmp_path: Path, strains: tuple[float, float], options: dict[str, Any], start: float
) -> None:
    text = f"time,strain,stress,T\n10,{strains[0]},5,300\n11,{strains[1]},6,310\n"
    columns = [TIME, STRAIN, STRESS, CSVColumn("T", "temperature")]
    specimen = write(tmp_path, text, columns=columns, **options)
    made = specimen.read()
    close(made.times[:, 0], start, 10, 11)
    close(made.strain[:, 0, 0], 0, *strains)
    close(made.measured["stress"][:, 0, 0], 0, 5, 6)
    close(made.weights["stress"][:, 0, 0], 0, 1, 1)
    close(made.fields["temperature"][:, 0], 300, 300, 310)
    plain = replace(specimen, start="first").read()
    close(plain.times[:, 0], 10, 11)
    close(plain.weights["stress"][:, 0, 0], 0, 1)


def test_the_load_of_a_creep_file_is_applied_at_once(tmp_path: Path) -> None:
    """With rows an hour apart, and an hour of creep before the first row if it were not."""
    text = "time,stress,strain\n0,200,1e-3\n1,200,2e-3\n2,200,2.5e-3\n"
    columns = [CSVColumn("time", "time", "h", "s"), STRESS, STRAIN]
    specimen = write(tmp_path, text, columns=columns, control=("stress_11",))
    close(specimen.read().times[:, 0], -3.6e-3, 0, 3600, 7200)
    close(replace(specimen, start_time=-0.5).read().times[:, 0], -1800, 0, 3600, 7200)


def test_masks(tmp_path: Path) -> None:
    text = "time,strain,stress,ok\n0,0,0,1\n1,0.01,1,1\n2,0.02,2,0\n3,0.03,3,1\n4,0.04,4,1\n"
    specimen = write(tmp_path, text, mask="ok", leave_out=[("strain_11", 0.035, 0.05)])
    made = specimen.read()
    close(made.weights["stress"][:, 0, 0], 0, 1, 0, 1, 0)
    close(made.strain[:, 0, 0], 0, 0.01, 0.02, 0.03, 0.04)
    write(tmp_path, text.replace("2,0\n", "2,no\n"))
    with pytest.raises(InputError, match=r"bar 7.csv:4: column 'ok'.*got 'no'"):
        specimen.read()
    write(tmp_path, text.replace("2,0\n", "2,2\n"))
    with pytest.raises(InputError, match=r"bar 7.csv:4: column 'ok': the mask is 0 or 1, not '2'"):
        specimen.read()


@pytest.mark.parametrize("cell", ["", "NaN", " nan "])
def test_missing_values(tmp_path: Path, cell: str) -> None:
    text = TENSION.replace("150", cell)
    with pytest.raises(InputError, match=r"bar 7.csv:4: column 'stress': expected a number, got '"):
        write(tmp_path, text).read()
    made = write(tmp_path, text, missing="mask").read()
    close(made.measured["stress"][:, 0, 0], 0, 100, 0, 180)
    close(made.weights["stress"][:, 0, 0], 0, 1, 0, 1)
    with pytest.raises(InputError, match=r"bar 7.csv:4: column 'strain': expected a number"):
        write(tmp_path, TENSION.replace("0.02", cell), missing="mask").read()


@pytest.mark.parametrize("cell", ["broken", "inf", "1.2.3", "0x1"])
def test_cells_that_are_no_numbers(tmp_path: Path, cell: str) -> None:
    with pytest.raises(InputError, match=rf"bar 7.csv:5: column 'stress'.*number, got '{cell}'"):
        write(tmp_path, TENSION.replace("180", cell), missing="mask").read()


def long_file(folder: Path, rows: int, **options: Any) -> CSVSpecimen:
    lines = [f"{t},{0.01 * t},{3.0 * t},{int(t % 3 != 0)}" for t in range(rows)]
    return write(folder, "time,strain,stress,ok\n" + "\n".join(lines), mask="ok", **options)


def test_thinning_leaves_the_driving_history_whole(tmp_path: Path) -> None:
    """Masked rows, the multiples of three, do not count among those compared."""
    whole, made = (long_file(tmp_path, 14, max_rows=n).read() for n in (None, 4))
    for name in ("times", "strain", "control"):
        assert torch.equal(getattr(made, name), getattr(whole, name))
    assert whole.n_values.tolist() == [9]  # 1 2 4 5 7 8 10 11 13
    assert made.weights["stress"][:, 0, 0].nonzero().flatten().tolist() == [1, 5, 8, 13]
    assert same(long_file(tmp_path, 14, max_rows=9).read(), whole)


@given(st.integers(3, 40), st.integers(2, 12))
def test_thinning_of_any_length(tmp_path_factory: Any, rows: int, kept: int) -> None:
    folder = tmp_path_factory.mktemp("thin")
    whole = long_file(folder, rows).read()
    made = long_file(folder, rows, max_rows=kept).read()
    assert int(made.n_values) == min(int(whole.n_values), kept)
    assert torch.equal(made.strain, whole.strain)
    used, compared = made.weights["stress"] > 0.0, whole.weights["stress"] > 0.0
    assert not bool((used & ~compared).any())
    for ends in (0, -1):
        assert torch.equal(used.nonzero()[ends], compared.nonzero()[ends])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bar 7.csv: the file is empty; a header"),
        ("time,strain,stress\n", "bar 7.csv: no rows of data; a history needs at least two"),
        ("time,strain,stress\n1,0.1,5\n", "7.csv: one row of data; a history needs at least two"),
        (
            TENSION.replace("stress", "Stress"),
            "bar 7.csv:1: the column 'stress' does not exist; did you mean 'Stress'",
        ),
        (TENSION.replace("stress", "force"), "the column 'stress' does not exist; known: force"),
        (TENSION.replace("strain", "stress"), "bar 7.csv:1: the column 'strain' does not exist"),
        ("\n\ntime,strain,stress,stress\n0,0,0,0", "bar 7.csv:3: the column 'stress' is given tw"),
        (TENSION.replace("2,0.02", "1,0.02"), "csv:4: the time does not grow: 1 after 1 in line 3"),
        (TENSION.replace("4,0.04", "1.5,0"), "csv:5: the time does not grow: 1.5 after 2 in line"),
        (TENSION.replace("1,0.01,100", "1,0.01"), "csv:3: 2 values for the 3 columns"),
        (TENSION.replace("0.01", "0,01"), "csv:3: 4 values for the 3 columns.*decimal commas need"),
        (
            "time;strain;stress\n0;0;0\n1;0,01;1.5\n",
            "csv:3: column 'strain': '0,01' has a comma, '1.5' in line 3 a point",
        ),
        (TENSION.replace("0.01", '"0.01'), "not a CSV file in the encoding utf-8-sig: "),
    ],
)
def test_files_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write(tmp_path, text).read()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read '.*none.csv': No such file"):
        CSVSpecimen(tmp_path / "none.csv", [TIME, STRAIN]).read()


def test_a_strain_that_rests_has_no_time_at_a_rate(tmp_path: Path) -> None:
    text = "strain,stress\n0,0\n0.01,5\n0.01,6\n"
    with pytest.raises(InputError, match=r"csv:4: the time does not grow"):
        write(tmp_path, text, columns=[STRAIN, STRESS], strain_rate=1.0).read()


def test_a_start_after_the_first_row(tmp_path: Path) -> None:
    text = "time,strain,stress\n1,0.1,5\n2,0.2,6\n"
    with pytest.raises(InputError, match="start_time 3 is not before the first 1"):
        write(tmp_path, text, start_time=3.0).read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": "skip"}, "missing is error or mask, got 'skip'"),
        ({"start": "now"}, "start is zero or first"),
        ({"others": "none"}, "others is stress or strain"),
        ({"control": ("strain_22",)}, "no column gives 'strain_22'; did you mean 'strain_11'"),
        ({"control": ()}, "control names components"),
        ({"control": ("time",)}, "control names components"),
        ({"control": ("strain_11", "stress_11")}, "each component once"),
        ({"columns": [STRAIN, STRESS]}, "either a column of variable 'time' or a strain_rate"),
        ({"strain_rate": 1.0}, "either a column of variable 'time' or a strain_rate"),
        ({"columns": [STRAIN], "strain_rate": -1.0}, "strain_rate must be positive"),
        (
            {"columns": [STRESS], "strain_rate": 1.0, "control": ("stress_11",)},
            "control must name a strain first",
        ),
        ({"columns": [TIME, STRAIN, STRAIN]}, "'strain_11' is given twice"),
        (
            {"columns": [TIME, STRAIN, CSVColumn("a", "gamma_12"), CSVColumn("b", "strain_12")]},
            "'strain_12' is given twice",
        ),
        (
            {"columns": [TIME, STRAIN, CSVColumn("T", "T")], "constants": {"T": 1.0}},
            "'T' is given twice",
        ),
        (
            {"columns": [TIME, STRAIN, CSVColumn("s", "stress_22")]},
            "'stress_22' is measured, but held at zero",
        ),
        ({"leave_out": [("temperature", 0.0, 1.0)]}, "no column gives 'temperature'"),
        ({"max_rows": 1}, "max_rows must be at least 2"),
        ({"weight": -1.0}, "weight must be at least 0"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"bar 7.csv: .*{message}"):
        write(tmp_path, TENSION, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variable": "strain_21"}, "'strain_21' is not a component; known: strain_11, strain_22"),
        ({"variable": "stress"}, "'stress' is not a component; known: stress_11"),
        ({"variable": "gamma_11"}, "'gamma_11' is not a component; known: gamma_23"),
        ({"unit": "MPa"}, "column 'x': give both unit and to"),
        ({"unit": "MPa", "to": "s"}, "cannot be converted"),
        ({"weight": math.nan}, "column 'x': weight must be at least 0"),
        ({"sigma": 0.0}, "column 'x': sigma must be positive"),
    ],
)
def test_columns_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CSVColumn(**{"column": "x", "variable": "stress_11", **options})
