"""Crystals: slip systems, closed forms, grains as a sub-batch, guesses, gradients of histories."""

from __future__ import annotations

import math
from itertools import permutations, product
from pathlib import Path

import pytest
import torch
from ladder import DECKS, assert_v, close, f64, rotation

import neml2fe
import neml2fe.models as m
from neml2fe.errors import InputError, ModelError
from neml2fe.implicit import recorded_solves
from neml2fe.models import ComposedModel, Model, value_and_jacobian
from neml2fe.models.solid_mechanics.crystal_plasticity.geometry import (
    CrystalGeometry,
    CubicCrystal,
    HexagonalCrystal,
)
from neml2fe.types import MRP, R2, SR2, SSR4, MillerIndex, Scalar, inner, rotate


def miller(*indices: tuple[int, int, int]) -> MillerIndex:
    return MillerIndex(torch.tensor(indices))


def same(value: float, n: int) -> torch.Tensor:
    return torch.full((n,), value, dtype=torch.float64)


def fcc(edge: float = 3.6) -> CubicCrystal:
    return CubicCrystal(edge, miller((1, 1, 0)), miller((1, 1, 1)))


# -- slip systems -----------------------------------------------------------------------------


def cubic_pairs(direction: tuple[int, int, int], plane: tuple[int, int, int]) -> set[object]:
    """All perpendicular pairs of signed permutations, each up to its two senses."""

    def images(v: tuple[int, int, int]) -> set[tuple[int, ...]]:
        return {
            tuple(a * b for a, b in zip(signs, order, strict=True))
            for order in permutations(v)
            for signs in product((1, -1), repeat=3)
        }

    return {
        (max(d, tuple(-x for x in d)), max(n, tuple(-x for x in n)))
        for d in images(direction)
        for n in images(plane)
        if sum(x * y for x, y in zip(d, n, strict=True)) == 0
    }


@pytest.mark.parametrize(
    ("direction", "plane", "number"),
    [((1, 1, 0), (1, 1, 1), 12), ((1, 1, 1), (1, 1, 0), 12), ((1, 1, 1), (1, 1, 2), 12)],
)
def test_cubic_slip_systems_are_all_there(
    direction: tuple[int, int, int], plane: tuple[int, int, int], number: int
) -> None:
    crystal = CubicCrystal(2.0, miller(direction), miller(plane))
    assert crystal.n_slip == number and crystal.family_sizes == [number]
    found = set()
    for d, n in zip(crystal.directions, crystal.planes, strict=True):
        whole = [
            tuple(int(x) for x in (v * math.sqrt(sum(i * i for i in size))).round().tolist())
            for v, size in ((d, direction), (n, plane))
        ]
        found.add(tuple(max(v, tuple(-x for x in v)) for v in whole))
    assert found == cubic_pairs(direction, plane)
    assert close(crystal.burgers, same(2.0 * math.hypot(*direction), number))


def test_schmid_tensors() -> None:
    crystal = fcc()
    assert close((crystal.directions * crystal.planes).sum(-1) + 1.0, same(1.0, 12))
    parts = crystal.M.to_r2().data + crystal.W.to_r2().data
    assert close(parts, crystal.A.data, 1e-15)
    assert close(inner(crystal.M, crystal.M).data, same(0.5, 12))
    assert crystal.M.sub_batch_shape == crystal.W.sub_batch_shape == (12,)


def test_several_families_and_common_divisors() -> None:
    crystal = CubicCrystal(
        1.0, miller((2, 2, 2), (1, 1, 1), (1, 1, 1)), miller((1, 1, 0), (2, 2, 4), (1, 2, 3))
    )
    assert crystal.family_sizes == [12, 12, 24] and crystal.n_slip == 48
    assert close(crystal.burgers, same(math.sqrt(3.0), 48))


def test_the_unit_of_length_does_not_matter() -> None:
    assert close(fcc(3.6e-10).A.data, fcc(3.6).A.data, 1e-15)


def test_hexagonal_slip_systems() -> None:
    a, c = 3.0, 4.8
    basal, prismatic, pyramidal = miller((1, 0, 0)), miller((1, 0, 0)), miller((1, 1, -1))
    directions = MillerIndex(torch.cat([basal.data, prismatic.data, pyramidal.data]))
    crystal = HexagonalCrystal(a, c, directions, miller((0, 0, 1), (0, 1, 0), (1, 1, 2)))
    assert crystal.family_sizes == [3, 3, 6]
    assert close(crystal.burgers[:6], same(a, 6))
    assert close(crystal.burgers[6:], same(math.hypot(a, c), 6))
    assert close(crystal.planes[:3].abs(), f64([[0.0, 0.0, 1.0]] * 3))
    assert close(crystal.planes[3:6, 2] + 1.0, same(1.0, 3))


def test_a_lattice_without_symmetry() -> None:
    """One system for each family; directions and normals of an oblique cell."""
    cell = R2(f64([[1.0, 0.0, 0.0], [0.3, 1.2, 0.0], [0.1, -0.2, 0.9]]))
    crystal = CrystalGeometry(cell, miller((1, 0, 0), (0, 1, -1)), miller((0, 1, 0), (2, 1, 1)))
    assert crystal.family_sizes == [1, 1]
    assert close(
        crystal.directions[1], torch.nn.functional.normalize(cell.data[1] - cell.data[2], dim=0)
    )
    assert float(crystal.planes[0] @ cell.data[0]) == pytest.approx(0.0, abs=1e-15)
    assert float(crystal.planes[0] @ cell.data[2]) == pytest.approx(0.0, abs=1e-15)


def test_wrong_families_are_refused() -> None:
    with pytest.raises(ModelError, match=r"no direction of the family \[1, 0, 0\]"):
        CrystalGeometry(R2.identity(), miller((1, 0, 0)), miller((1, 0, 0)))
    with pytest.raises(ModelError, match="2 slip directions for 1 slip planes"):
        CubicCrystal(1.0, miller((1, 1, 0), (1, 0, 0)), miller((1, 1, 1)))
    for wrong in (f64([1.0, 0.5, 0.0]), f64([0.0, 0.0, 0.0])):
        with pytest.raises(ModelError, match="Miller indices are integers"):
            CubicCrystal(1.0, MillerIndex(wrong), miller((1, 1, 1)))


def test_the_slip_systems_follow_the_model() -> None:
    model = m.ResolvedShear(crystal_geometry=fcc())
    assert not model.state_dict()
    model.to(torch.float32)
    assert model(SR2.identity(), R2.identity()).dtype is torch.float32
    with pytest.raises(ModelError, match="needs a crystal_geometry"):
        m.ResolvedShear()


# -- closed forms ----------------------------------------------------------------------------


def test_tension_along_a_cube_edge() -> None:
    """Schmid factor 1/sqrt(6) on eight systems; all their slips add up to the same stretching."""
    crystal, stress, strength, n = fcc(), 90.0, 30.0, 5.0
    one = R2.identity(dtype=torch.float64)
    shears = m.ResolvedShear(crystal_geometry=crystal)(
        SR2.fill(0.0, 0.0, stress).to(torch.float64), one
    )
    active = shears.data.abs() > 1e-9
    assert int(active.sum()) == 8
    assert close(shears.data[active].abs(), same(stress / math.sqrt(6.0), 8))
    rule = m.PowerLawSlipRule(gamma0=1e-3, n=n)
    rates = rule(shears, Scalar(f64([strength] * 12), 1))
    rate = 1e-3 * (stress / math.sqrt(6.0) / strength) ** n
    assert float(m.SumSlipRates()(rates).data) == pytest.approx(8.0 * rate, rel=1e-13)
    flow = m.PlasticDeformationRate(crystal_geometry=crystal)(one, rates).data
    along = 8.0 * rate / math.sqrt(6.0)
    assert close(flow, along * f64([-0.5, -0.5, 1.0, 0.0, 0.0, 0.0]))
    spin = m.PlasticVorticity(crystal_geometry=crystal)(one, rates).data
    assert float(spin.abs().max()) < 1e-15 * along


def test_a_turned_crystal_in_a_turned_stress() -> None:
    crystal, turn = fcc(), rotation(5).to_r2()
    stress = SR2(torch.randn(5, 6).double())
    rates = Scalar(torch.randn(5, 12).double(), 1)
    one = R2.identity(dtype=torch.float64)
    shear = m.ResolvedShear(crystal_geometry=crystal)
    assert close(shear(rotate(stress, turn), turn).data, shear(stress, one).data)
    for kind in (m.PlasticDeformationRate, m.PlasticVorticity, m.PlasticSpatialVelocityGradient):
        law = kind(crystal_geometry=crystal)
        assert close(law(turn, rates).data, rotate(law(one, rates), turn).data)


def test_power_law_at_rest() -> None:
    """n = 1 is a viscous law, whose slope at rest is gamma0 / strength."""
    shear = f64([0.0, 2.0])
    for n, slope in ((1.0, 0.02), (3.0, 0.0)):
        rule = m.PowerLawSlipRule(gamma0=0.5, n=n)
        _, jacobian = value_and_jacobian(
            rule, {"resolved_shears": Scalar(shear), "slip_strengths": Scalar(f64(25.0))}
        )
        assert float(jacobian["slip_rates"]["resolved_shears"][0].detach()) == pytest.approx(slope)


def test_strengths_by_slip_system_and_by_grain() -> None:
    crystal = fcc()
    each = torch.linspace(1.0, 2.0, 12).double()
    by_slip = m.SingleSlipStrengthMap(crystal_geometry=crystal, constant_strength=Scalar(each, 1))
    assert torch.equal(by_slip(Scalar(f64(3.0))).data, 3.0 + each)
    grains = Scalar(f64([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 1)
    found = by_slip_of_grains = m.SingleSlipStrengthMap(
        crystal_geometry=crystal, constant_strength=Scalar(each[None], 2)
    )(grains)
    assert found.batch_shape == (3,) and found.sub_batch_shape == (2, 12)
    assert torch.equal(by_slip_of_grains.data, grains.data[..., None] + each)
    by_grain = m.SingleSlipStrengthMap(
        crystal_geometry=crystal, constant_strength=Scalar(f64([10.0, 20.0]), 1)
    )(grains)
    assert torch.equal(by_grain.data, (grains.data + f64([10.0, 20.0]))[..., None].expand(3, 2, 12))


def test_elastic_interaction_is_that_of_the_turned_crystal() -> None:
    crystal, turn = fcc(), MRP(f64([0.2, -0.1, 0.3]))
    root = torch.randn(6, 6).double()
    stiffness = SSR4(root @ root.T)
    law = m.SlipSystemElasticInteraction(
        crystal_geometry=crystal, elastic_stiffness_tensor=stiffness
    )
    found = law(turn, f64(2.0), f64(1.5))
    turned = rotate(crystal.M, turn).data
    expected = 0.5 * turned @ rotate(stiffness, turn).data @ turned.T
    assert found.sub_batch_shape == (12, 12) and close(found.data, expected)


# -- orientations ----------------------------------------------------------------------------


def test_fixed_orientations_are_the_same_rotations() -> None:
    turns = MRP(f64([[0.2, 0.1, -0.3], [0.9, -0.5, 0.4], [1.0, 0.0, 0.0], [0.0, 3.0, 0.0]]))
    fixed = m.FixOrientation()(turns)
    assert close(fixed.to_r2().data, turns.to_r2().data)
    assert bool((fixed.data.square().sum(-1) <= 1.0).all())
    assert torch.equal(fixed.data[0], turns.data[0])


def orientation_update(label: str = "turn") -> Model:
    return m.WR2ExplicitExponentialTimeIntegration(variable="orientation", label=label)


def test_a_rewritten_variable_is_the_one_that_others_read() -> None:
    fix = m.FixOrientation(input="orientation", output="orientation", label="fix")
    read = m.RotationMatrix(from_="orientation", to="R", label="read")
    for models in ([fix, orientation_update(), read], [read, orientation_update(), fix]):
        model = ComposedModel(models=models, additional_outputs=["orientation"])
        assert list(model.input_spec) == ["orientation_rate", "t", "orientation~1", "t~1"]
        inputs = {
            "orientation_rate": f64([0.1, 0.2, 0.3]),
            "orientation~1": f64([0.9, 0.42, 0.05]),
            "t": f64(1.0),
            "t~1": f64(0.0),
        }
        plain = orientation_update().evaluate(inputs)["orientation"]
        assert float(plain.data.square().sum()) > 1.0
        outputs = model.evaluate(inputs)
        assert close(outputs["orientation"].data, plain.shadow().data)
        assert close(outputs["R"].data, plain.to_r2().data)
    alone = ComposedModel(models=[fix])
    assert list(alone.input_spec) == list(alone.output_spec) == ["orientation"]


def test_only_one_member_may_rewrite_a_variable() -> None:
    fixes = [
        m.FixOrientation(input="orientation", output="orientation", label=name) for name in "ab"
    ]
    with pytest.raises(ModelError, match="both 'a' and 'b' compute 'orientation'"):
        ComposedModel(models=[orientation_update(), *fixes])
    with pytest.raises(ModelError, match="both 'first' and 'second' compute 'orientation'"):
        ComposedModel(models=[orientation_update("first"), orientation_update("second"), fixes[0]])


def test_a_history_that_passes_the_threshold() -> None:
    history = neml2fe.load_input(DECKS / "crystal_decoupled.i").get_driver("driver").driver.run()
    turns = history.series("orientation", first=0)
    assert bool((turns.square().sum(-1) < 1.0).all())
    jumps = (turns[1:] - turns[:-1]).norm(dim=-1)
    assert float(jumps[:, 2].max()) > 1.5 and float(jumps[:, :2].max()) < 0.1
    matrices = MRP(turns).to_r2().data
    assert float((matrices[1:] - matrices[:-1]).abs().max()) < 0.2


# -- reductions --------------------------------------------------------------------------------


def test_reductions_along_batch_and_sub_batch() -> None:
    x = torch.randn(2, 3, 4, 6).double()
    grains = SR2(x, 1)
    assert torch.equal(m.SR2DynamicSum(from_="x", to="y", dim=0)(grains).data, x.sum(0))
    mean = m.SR2DynamicMean(from_="x", to="y", dim=-1)(grains)
    assert torch.equal(mean.data, x.mean(1)) and mean.sub_batch_shape == (4,)
    assert torch.equal(m.SR2IntermediateSum(from_="x", to="y")(grains).data, x.sum(2))
    for value in (grains, SR2(x)):  # without a sub-batch, the last dimension of the batch
        found = m.SR2IntermediateMean(from_="x", to="y", reduces="grain")(value)
        assert torch.equal(found.data, x.mean(2)) and found.batch_shape == (2, 3)
    difference = m.SR2IntermediateDiff(from_="x", to="y", dim=0, n=2)(grains)
    assert difference.sub_batch_shape == (2,)
    assert close(difference.data, x[:, :, 2:] - 2.0 * x[:, :, 1:-1] + x[:, :, :-2])
    with pytest.raises(IndexError, match="dimension 2 is not among the 2 of this region"):
        m.SR2DynamicSum(from_="x", to="y", dim=2)(grains)


# -- guesses -----------------------------------------------------------------------------------


def descent(**more: object) -> Model:
    return m.CoordinateDescentPredictor(
        rate_law=m.PowerLawSlipRule(gamma0=1e-3, n=8.0),
        driving_force_input="resolved_shears",
        coupling="A",
        trial_driving_force="b",
        rate="g",
        **more,
    )


def test_coordinate_descent_solves_the_condensed_system() -> None:
    """phi(g) + A g = b, with phi the inverse of the power law; A of rank five."""
    strengths = torch.linspace(20.0, 40.0, 12).double()
    stiffness = SSR4(1e5 * (torch.eye(6).double() + 0.4))
    interaction = m.SlipSystemElasticInteraction(
        crystal_geometry=fcc(), elastic_stiffness_tensor=stiffness
    )
    a = interaction(MRP.identity(), f64(0.1), f64(0.0))
    stress = SR2(100.0 * torch.randn(2, 6).double())
    b = m.ResolvedShear(crystal_geometry=fcc())(stress, R2.identity(dtype=torch.float64))
    inputs = {"A": a, "b": b, "slip_strengths": Scalar(strengths, 1)}
    for sweeps, tolerance in ((1, 0.5), (4, 0.1), (50, 1e-9)):
        g = descent(sweeps=sweeps).evaluate(inputs)["g"]
        assert g.batch_shape == (2,) and g.sub_batch_shape == (12,)
        force = strengths * (g.data.abs() / 1e-3) ** 0.125 * g.data.sign()
        residual = force + g.data @ a.data - b.data
        assert float(residual.abs().max()) < tolerance * float(b.data.abs().max())


def test_coordinate_descent_of_one_rate_and_of_grains() -> None:
    one = descent().evaluate(
        {"A": f64(2e4), "b": f64([80.0, -50.0, 0.0]), "slip_strengths": f64(30.0)}
    )
    g = one["g"].data
    force = 30.0 * (g.abs() / 1e-3) ** 0.125 * g.sign()
    assert close(force + 2e4 * g, f64([80.0, -50.0, 0.0]), 1e-12)
    a, b = torch.rand(4, 3, 3).double(), 50.0 * torch.randn(4, 3).double()
    a, s = 1e4 * a @ a.mT, 30.0 + torch.rand(4, 3).double()
    points = descent().evaluate(
        {"A": Scalar(a, 2), "b": Scalar(b, 1), "slip_strengths": Scalar(s, 1)}
    )
    grains = descent().evaluate(
        {"A": Scalar(a, 3), "b": Scalar(b, 2), "slip_strengths": Scalar(s, 2)}
    )
    assert grains["g"].sub_batch_shape == (4, 3) and close(grains["g"].data, points["g"].data)


def test_coordinate_descent_with_laws_that_differ() -> None:
    """Parameters by slip system: each rate is found by its own law."""
    n = f64([2.0, 3.0, 5.0])
    law = m.PowerLawSlipRule(gamma0=1e-3, n=Scalar(n, 1))
    fields = {"driving_force_input": "resolved_shears", "coupling": "A", "rate": "g"}
    model = m.CoordinateDescentPredictor(rate_law=law, trial_driving_force="b", **fields)
    a, b = torch.diag(f64([1e4, 2e4, 3e4])), f64([60.0, -70.0, 80.0])
    g = model.evaluate({"A": Scalar(a, 2), "b": Scalar(b, 1), "slip_strengths": f64(30.0)})[
        "g"
    ].data
    force = 30.0 * (g.abs() / 1e-3) ** (1.0 / n) * g.sign()
    assert close(force + a.diagonal() * g, b, 1e-12)


def test_coordinate_descent_refuses_what_is_no_system() -> None:
    b = Scalar(f64([1.0, 2.0, 3.0]), 1)
    for wrong in (Scalar(torch.ones(3, 2), 2), Scalar(torch.ones(2, 2), 2)):
        with pytest.raises(ModelError, match=r"need a coupling with \(3, 3\)"):
            descent().evaluate({"A": wrong, "b": b, "slip_strengths": f64(30.0)})
    with pytest.raises(ModelError, match=r"'resolved_shear' is no input of .*resolved_shears"):
        m.CoordinateDescentPredictor(
            rate_law=m.PowerLawSlipRule(gamma0=1.0, n=1.0), driving_force_input="resolved_shear"
        )


def test_rate_condensation_of_a_return_path() -> None:
    """f = sqrt(2/3) (s - h - sy) falls by sqrt(2/3) (3 G + H) dt per flow rate."""
    from rungs_crystal import condensation

    shear, step = 2e5 / 2.6, 0.5
    n = f64([1.0, -0.5, -0.5, 0.0, 0.0, 0.0])  # 3/2 s / |s| of tension along the first axis
    inputs = {
        "p~1": f64([0.0, 0.02]),
        "N": n,
        "E_rate": 0.0 * n,
        "ee~1": 2e-3 * n,
        "t": f64(step),
        "t~1": f64(0.0),
    }
    found = condensation().evaluate(inputs)
    slope = math.sqrt(2.0 / 3.0) * (3.0 * shear + 800.0) * step
    assert close(found["A"].data.expand(2), f64([slope, slope]), 1e-12)
    force = math.sqrt(2.0 / 3.0) * (2.0 * shear * 2e-3 * 1.5 - 150.0 - 800.0 * inputs["p~1"])
    assert close(found["b"].data, force, 1e-12)


@pytest.mark.parametrize("deck", ["crystal_descent", "crystal_condensation"])
def test_the_guess_saves_iterations_on_the_first_step(deck: str) -> None:
    source = neml2fe.load_input(DECKS / f"{deck}.i")
    driver = source.get_driver("driver").driver
    guessed = source.get_model("update")
    plain = m.ImplicitUpdate(
        equation_system=guessed.equation_system, solver=guessed.solver, label="plain"
    )
    values = {n: v[-1] for n, v in driver.prescribed.items()}
    needed = []
    for update in (plain, guessed):
        inputs = {
            n: values.get(n, kind(torch.zeros(kind.BASE_SHAPE).double()))
            for n, kind in update.input_spec.items()
        }
        with recorded_solves() as log:
            update.evaluate({**inputs, "t": f64([2.0, 2.0])})
        assert log.iterations is not None
        needed.append(int(log.iterations.max()))
    assert needed[1] < 0.7 * needed[0]


def test_first_guesses_of_crystals() -> None:
    guess = m.CrystalPlasticityStrainPredictor(scale=0.5)
    rate = f64([1.0, -0.5, -0.5, 0.0, 0.2, 0.0])
    old = torch.stack([0.0 * rate, 1e-2 * rate])
    found = guess.evaluate(
        {"deformation_rate": rate, "t": f64(2.0), "t~1": f64(1.0), "elastic_strain~1": old}
    )
    assert torch.equal(found["elastic_strain"].data, torch.stack([0.5 * rate, old[1]]))
    guess = m.CrystalPlasticityDeformationGradientPredictor()
    f, one = torch.eye(3).double(), torch.eye(3).double()
    f[0, 1] = 0.2
    name = "plastic_deformation_gradient"
    found = guess.evaluate({"deformation_gradient": torch.stack([f, one]), f"{name}~1": one})[
        name
    ].data
    elastic = f @ torch.linalg.inv(found[0])
    assert close(elastic, one + 0.1 * (f - one)) and torch.equal(found[1], one)


# -- grains as a sub-batch ---------------------------------------------------------------------


@pytest.mark.parametrize("deck", ["crystal_taylor", "crystal_taylor_block"])
def test_grains_are_points_of_their_own(deck: str) -> None:
    """Values and derivatives of an update with eight grains against eight points."""
    source = neml2fe.load_input(DECKS / f"{deck}.i")
    history = source.get_driver("driver").driver.run()
    update = source.get_model("update")
    inputs = history.inputs[12]
    typed = {
        n: kind(inputs[n].detach(), history.sub_batch[n]) for n, kind in update.input_spec.items()
    }
    plain = {
        n: v.sub_batch.flatten() if v.sub_batch_ndim else v.batch.unsqueeze(-1)
        for n, v in typed.items()
    }
    values, together = value_and_jacobian(update, typed)
    expected, alone = value_and_jacobian(update, plain)
    grain = torch.arange(8)
    for output, blocks in together.items():
        assert close(values[output], expected[output], 1e-9)
        for name, block in blocks.items():
            mine = alone[output][name].clone()
            if typed[name].sub_batch_ndim:  # only the grain itself matters
                base = update.output_spec[output].base_ndim()
                diagonal = torch.zeros_like(block)
                rows = block.movedim(2 + base, 2)
                diagonal.movedim(2 + base, 2)[:, grain, grain] = mine
                assert close(rows[:, grain, grain], mine, 1e-7)
                assert close(block, diagonal, 1e-7)
            else:
                assert close(block, mine, 1e-7)


def test_an_aggregate_feels_all_of_its_grains() -> None:
    """The mean stress of a Taylor aggregate, differentiated by the orientations at the start."""
    driver = neml2fe.load_input(DECKS / "crystal_taylor.i").get_driver("driver").driver
    start = driver.initial["orientation"]
    turns = start.data.clone().requires_grad_()
    driver.initial["orientation"] = start.like(turns)
    driver.prescribed = {n: v[:7] for n, v in driver.prescribed.items()}
    driver.run().outputs[-1]["stress"][0].sum().backward()
    assert turns.grad is not None and not turns.grad[1].any()
    assert bool((turns.grad[0].abs().amax(-1) > 1.0).all())


# -- gradients of histories --------------------------------------------------------------------

HISTORIES = {
    "crystal_coupled": ("cauchy_stress", 7),
    "crystal_decoupled": ("cauchy_stress", 62),
    "crystal_multiplicative": ("cauchy_stress", 7),
    "crystal_dislocations": ("rho", 10),
    "crystal_taylor": ("stress", 7),
}


@pytest.mark.parametrize("deck", sorted(HISTORIES))
def test_gradients_of_a_history_by_the_parameters(deck: str) -> None:
    """Reverse mode through all steps against differences, errors in a V; parameters by slip
    system are sub-batches."""
    output, number = HISTORIES[deck]
    tight = ["Solvers/newton/abs_tol=1e-12", "Solvers/newton/rel_tol=1e-12"]
    source = neml2fe.load_input(DECKS / f"{deck}.i", tight)
    driver, model = source.get_driver("driver").driver, source.get_model("model")
    driver.prescribed = {n: v[::2][:5] for n, v in driver.prescribed.items()}
    parameters = {
        n: p for n, p in model.named_parameters() if "weight" not in n and "guess" not in n
    }
    assert sum(p.numel() for p in parameters.values()) == number
    weights = [torch.randn_like(v[output]) for v in driver.run().outputs[1:]]

    def total() -> torch.Tensor:
        steps = driver.run().outputs[1:]
        return torch.stack(
            [(v[output] * w).sum() for v, w in zip(steps, weights, strict=True)]
        ).sum()

    gradient = torch.autograd.grad(total(), list(parameters.values()))
    assert all(bool((g != 0.0).all()) for g in gradient)
    start = [p.detach().clone() for p in parameters.values()]
    way = [torch.randn_like(p) * p.abs() for p in start]

    def moved(h: float) -> torch.Tensor:
        with torch.no_grad():
            for p, p0, d in zip(parameters.values(), start, way, strict=True):
                p.copy_(p0 + h * d)
            return total().detach()

    slope = torch.stack([(g * d).sum() for g, d in zip(gradient, way, strict=True)]).sum()
    assert_v(lambda h: moved(0.1 * h), 0.1 * slope, steps=[10.0**-k for k in range(1, 8)])


# -- the section [Data] ------------------------------------------------------------------------

DECK = """
[Tensors]
  [d]
    type = Python
    expr = 'MillerIndex.fill(1, 1, 0)'
  []
  [n]
    type = Python
    expr = 'MillerIndex.fill(1, 1, 1)'
  []
[]
[Data]
  [{name}]
    type              = CubicCrystal
    lattice_parameter = {edge}
    slip_directions   = d
    slip_planes       = {planes}
  []
[]
[Models]
  [model]
    type             = ResolvedShear{field}
  []
[]
"""


def loaded(tmp_path: Path, **words: str) -> Model:
    given = {"name": "crystal_geometry", "edge": "3.6", "planes": "n", "field": "", **words}
    path = tmp_path / "deck.i"
    path.write_text(DECK.format(**given))
    return neml2fe.load_model(path, "model")


def test_a_deck_gives_the_crystal_by_name_or_by_default(tmp_path: Path) -> None:
    named = "\n    crystal_geometry = copper"
    for model in (loaded(tmp_path), loaded(tmp_path, name="copper", field=named)):
        assert isinstance(model, m.ResolvedShear)
        assert torch.equal(model.crystal_geometry.A.data, fcc().A.data)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "copper"}, r"needs the crystal of a block \[Data/crystal_geometry\]"),
        ({"field": "\n    crystal_geometry = crystal"}, r"no block \[Data/crystal\]"),
        ({"planes": "3.0"}, "expected a MillerIndex"),
        ({"edge": "n"}, "expected a Scalar"),
        ({"edge": "3.6\n    slip_plane = n"}, "unknown field 'slip_plane'"),
    ],
)
def test_mistakes_in_the_data_of_a_deck(
    tmp_path: Path, words: dict[str, str], message: str
) -> None:
    with pytest.raises((InputError, ModelError), match=message) as error:
        loaded(tmp_path, **words)
    assert "deck.i:" in str(error.value)
