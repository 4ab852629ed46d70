"""Where the chain rule of a model of NEML2 has a gap.

NEML2 differentiates forwards by rules that its models write by hand, and some leave out
parameters that a deck gives as variables: these derivatives would be zero without a word.
"""

from __future__ import annotations

import neml2
import torch


def gaps(model: neml2.Model) -> dict[str, set[str]]:
    """The inputs of `model` whose influence its chain rule leaves out, in part or altogether, by
    the member and the variable where it does, `member: variable`."""
    members = [m for m in model.modules() if isinstance(m, neml2.Model)]
    leaves = [m for m in members if not isinstance(m, neml2.ComposedModel)]
    sources: dict[str, set[str]] = {}
    for leaf in leaves:
        for name in leaf.output_spec:
            sources.setdefault(name, set()).update(leaf.input_spec)
    found = {
        f"{leaf._hit_name}: {name}": _reaching(name, sources) & set(model.input_spec)
        for leaf in leaves
        for name in _left_out(leaf)
    }
    return {place: inputs for place, inputs in found.items() if inputs}


@torch.no_grad()
def _left_out(leaf: neml2.Model) -> list[str]:
    """Variables in place of parameters that no output has a derivative by. Which derivatives a
    rule has does not depend on the numbers: it is asked with ones."""
    found = []
    for promoted in leaf._promoted_params.values():
        name = promoted.input_name
        kind = leaf.input_spec[name]
        ones = {n: k(torch.ones(1, *k.BASE_SHAPE)) for n, k in leaf.input_spec.items()}
        way = torch.ones(1, 1, *kind.BASE_SHAPE)
        seed = kind(way, k_ndim=1, k_state=("full",), k_pairing=(None,))
        try:
            *_, slopes = leaf(*ones.values(), v={name: {name: seed}})
        except Exception:  # what cannot be asked is not relied upon
            slopes = {}
        if not any(slopes.get(out) for out in leaf.output_spec):
            found.append(name)
    return found


def _reaching(name: str, sources: dict[str, set[str]]) -> set[str]:
    """All variables that `name` depends on, itself among them."""
    found, new = {name}, {name}
    while new:
        new = set().union(*(sources.get(n, set()) for n in new)) - found
        found |= new
    return found
