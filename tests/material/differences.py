"""Derivatives of anything that updates points, against differences and against each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from ladder import assert_v, difference_errors, randn

from neml2fe.material import PointMaterial, State

Case = tuple[torch.Tensor, State, dict[str, torch.Tensor]]  # strain, old state, fields
TIME, DT = 2.0, 0.05


def assert_falls(
    f: Callable[[float], torch.Tensor], slope: torch.Tensor, floor: float, steps: Sequence[float]
) -> None:
    """One step at least has an error below `floor` and below a tenth of that of the first step;
    steps that come after it are not taken."""
    first, *others = steps
    errors = difference_errors(f, slope, [first])
    for h in others:
        errors += difference_errors(f, slope, [h])
        if errors[-1] < min(floor, 0.1 * errors[0]):
            return
    raise AssertionError(f"no error falls below {floor:g}: {errors}")


def assert_tangent(
    material: PointMaterial, case: Case, way: torch.Tensor, floor: float = 1e-8
) -> None:
    strain, state, fields = case
    result = material.update(strain, state, TIME, DT, fields)
    assert result.tangent is not None and not len(result.failed)
    n, size = len(strain), way[0].numel()
    slope = (result.tangent.reshape(n, -1, size) @ way.reshape(n, size, 1)).squeeze(-1)

    def stress(h: float) -> torch.Tensor:
        found = material.update(strain + h * way, state, TIME, DT, fields, tangent=False)
        assert found.tangent is None
        return found.stress

    assert_v(stress, slope.reshape(result.stress.shape), floor)


def assert_rates_and_cotangents(
    material: PointMaterial, case: Case, way: torch.Tensor, floor: float = 1e-7
) -> None:
    """Rates of stress and state for those of all inputs and parameters are those of differences,
    and cotangents are their transpose, with the solution of the update at hand and without."""
    strain, state, fields = case
    result = material.update(strain, state, TIME, DT, fields)
    state_way = {n: 1e-3 * randn(*v.shape) * (v.abs().max() or 1.0) for n, v in state.items()}
    field_way = {n: 1e-3 * randn(*v.shape) * v.abs().max() for n, v in fields.items()}
    start = {n: p.detach().clone() for n, p in material.parameters.items()}
    parameter_way = {n: 1e-2 * p * (0.5 + torch.rand(p.shape).double()) for n, p in start.items()}

    def outputs(h: float) -> torch.Tensor:
        for name, p in material.parameters.items():
            p.data = start[name] + h * parameter_way[name]
        new = material.update(
            strain + h * way,
            {n: v + h * state_way[n] for n, v in state.items()},
            TIME,
            DT,
            {n: v + h * field_way[n] for n, v in fields.items()},
        )
        assert not len(new.failed)
        return torch.cat([new.stress.flatten(), *(new.state[n].flatten() for n in state)])

    scale = torch.cat(
        [v.abs().max().expand(v.numel()) for v in (result.stress, *result.state.values())]
    ).clamp(min=1e-12)
    bars = randn(*result.stress.shape), {n: randn(*v.shape) for n, v in state.items()}
    bars = (
        bars[0] / result.stress.abs().max(),
        {n: v / result.state[n].abs().max().clamp(min=1e-12) for n, v in bars[1].items()},
    )
    bars[0].masked_fill_(result.stress == 0.0, 1.0)  # out of the plane: must count for nothing
    first = None
    for solution in {id(x): x for x in (result.solution, None)}.values():
        rate, rates = material.jvp(
            strain, state, TIME, DT, way, state_way, fields, field_way, solution, parameter_way
        )
        assert set(rates) == set(state)
        pushed = torch.cat([rate.flatten(), *(rates[n].flatten() for n in state)])
        if first is None:
            first = pushed
            steps = [1e-1, 1e-3, 1e-4, 1e-5, 1e-2]
            assert_falls(lambda h: outputs(h) / scale, pushed / scale, floor, steps)
            outputs(0.0)  # with the parameters as they were
        torch.testing.assert_close(pushed / scale, first / scale, rtol=1e-8, atol=1e-12)
        found = material.vjp(strain, state, TIME, DT, *bars, fields, solution)
        along = (bars[0] * rate).sum() + sum((v * rates[n]).sum() for n, v in bars[1].items())
        back = (found.strain * way).sum()
        back = back + sum((found.state[n] * v).sum() for n, v in state_way.items())
        back = back + sum((found.fields[n] * v).sum() for n, v in field_way.items())
        back = back + sum((found.parameters[n] * v).sum() for n, v in parameter_way.items())
        torch.testing.assert_close(back, along, rtol=1e-8, atol=1e-10 * float(along.abs()))


def assert_cotangents_of_parameters(
    material: PointMaterial, case: Case, parameters: dict[str, torch.nn.Parameter]
) -> None:
    """In the direction of all parameters at once."""
    strain, state, fields = case
    bar = randn(*material.update(strain, state, TIME, DT, fields).stress.shape)
    found = material.vjp(strain, state, TIME, DT, bar, None, fields).parameters
    assert set(found) == set(parameters)
    start = {n: p.detach().clone() for n, p in parameters.items()}
    way = {n: p * (0.5 + torch.rand(p.shape).double()) for n, p in start.items()}

    def total(h: float) -> torch.Tensor:
        for name, p in parameters.items():
            p.data = start[name] + h * way[name]
        return (material.update(strain, state, TIME, DT, fields).stress * bar).sum()

    slope = sum((found[n] * way[n]).sum() for n in parameters)
    assert isinstance(slope, torch.Tensor)
    assert_falls(total, slope, 1e-6, [1e-2, 1e-4, 1e-5, 1e-3])
