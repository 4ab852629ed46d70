"""What a [Calibrations] block cannot say, refused at its line before anything is simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from neml2fe.calibration.fit import optimisers
from neml2fe.calibration.gradient import torch_optimisers
from neml2fe.calibration.specimens import Specimens
from neml2fe.errors import suggest
from neml2fe.implicit import NonlinearSystem
from neml2fe.input.deck import Block
from neml2fe.input.specimens import noise_by_variable
from neml2fe.material import current_name

# Options of a search: which numbers are right, and how to say so.
_LIMITS: dict[str, tuple[Callable[[float], bool], str]] = {
    "substeps": (lambda x: x >= 1, "at least 1"),
    "learning_rate": (lambda x: x > 0, "above 0"),
    "starts": (lambda x: x >= 1, "at least 1"),
    "seed": (lambda x: x >= 0, "at least 0"),
    "max_iterations": (lambda x: x >= 0, "at least 0"),
    "rel_improvement": (lambda x: x >= 0, "at least 0"),
    "patience": (lambda x: x >= 1, "at least 1"),
    "gradient_tolerance": (lambda x: x >= 0, "at least 0"),
    "level": (lambda x: 0 < x < 1, "between 0 and 1"),
}


def check_search(block: Block, uncertainties: Sequence[str] = ("intervals", "none")) -> None:
    """`uncertainties`: what the field of this name may say."""
    if (kind := block.get("uncertainty")) and kind.as_str() not in uncertainties:
        raise kind.error(f"no uncertainty '{kind.text}'{suggest(kind.text, uncertainties)}")
    for name, (is_right, words) in _LIMITS.items():
        if (value := block.get(name)) and not is_right(value.as_float()):
            raise value.error(f"expected a number {words}, got {value.text}")
    chosen = block.get("optimiser")
    name = chosen.as_str().lower() if chosen else "least_squares"
    if chosen and name not in optimisers():
        raise chosen.error(f"no optimiser '{chosen.text}'{suggest(name, optimisers())}")
    if (rate := block.get("learning_rate")) and name not in torch_optimisers():
        raise rate.error(
            f"optimiser = {name} has no learning_rate; classes of torch.optim have one, "
            "such as adam"
        )


def check_parameters(block: Block, fitted: Sequence[Block]) -> None:
    """That there are some, and each is another one of the model."""
    if not fitted:
        raise block.error("nothing is to be fitted; the deck needs blocks in [Parameters]")
    seen: dict[str, Block] = {}
    for place in fitted:
        value = place.require("parameter")
        first = seen.setdefault(value.as_str(), place)
        if first is not place:
            raise value.error(
                f"'{value.text}' is fitted by [{first.path}] already; give it one block, or name "
                f"one of them in 'parameters' of [{block.path}]"
            )


def check_noise(
    block: Block, specimens: Specimens, tests: Sequence[Block], others: Sequence[Block]
) -> None:
    """That each variable that is compared has a size of noise of its own: units differ.

    `specimens` are those of the blocks `tests`; `noise_variables` may name what only `others`
    of the deck measure.
    """
    compared = [name for name, w in specimens.weights.items() if bool(w.any())]
    own = [noise_by_variable(test) for test in tests]
    size = "floor" if block.get("floor") else "sigma"
    if named := block.get("noise_variables"):
        names = named.as_list()
        known = sorted(set().union(compared, *map(noise_by_variable, others)))
        for k, name in enumerate(names):
            if name in names[:k]:
                raise named.error(f"'{name}' is listed twice")
            if name not in known:
                raise named.error(f"no specimen has a measured '{name}'{suggest(name, known)}")
        if lacking := [name for name in compared if name not in names]:
            raise named.error(
                f"'{lacking[0]}' is compared with the model, too; add it here, and its {size} there"
            )
        if not any(block.get(name) for name in ("sigma", "fraction", "floor")):
            raise named.error("it says what sigma is given for; give sigma, or leave both out")
        return
    if len(compared) > 1 and not all(known for test in own for known in test.values()):
        value = block.get(size)
        what = " and ".join((", ".join(compared[:-1]), compared[-1]))
        example = {"stress": "2", "strain": "2e-5"}
        numbers = " ".join(example.get(name, "0.1") for name in compared)
        message = (
            f"{what} are compared, in different units, and each needs a {size} of its own, such "
            f"as noise_variables = '{' '.join(compared)}' and {size} = '{numbers}'; or give "
            "'sigmas' for all of their columns in [Specimens]"
        )
        raise (value or block).error(message)


def check_inputs(
    block: Block, system: NonlinearSystem, specimens: Specimens, drives: Mapping[str, str]
) -> None:
    """That the system has what drives it and specimens give the rest; `drives` are the names of
    its variables by option: time, control, prescribed."""
    label = system.model.label
    currents = [current_name(name) for name in system.given]
    known = [name for name in dict.fromkeys(currents) if name not in system.unknowns]
    for option, name in drives.items():
        if (value := block.get(option)) and name not in known:
            raise value.error(
                f"{option} = {name}: '{label}' has no input '{name}'{suggest(name, known)}"
            )
    for name in known:
        if name not in (*drives.values(), *specimens.fields):
            time = drives["time"]
            message = f"'{label}' needs '{name}'; give it for each specimen, by 'field_names'"
            if time not in known:
                message += f"; or, if it is the time, say time = {name} here"
            raise block.error(message)
