"""`ComposedModel`: models wired by equal variable names."""

from __future__ import annotations

from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import Option
from neml2fe.models.model import Model, Spec, Values, model_names


class ComposedModel(Model):
    """Evaluates `models` in the order of their dependencies.

    Inputs are the variables that no member computes; outputs are those that no member
    consumes, plus `additional_outputs`. A member that takes and returns one variable rewrites it:
    it runs after the member that computes it and before those that read it. Raises `ModelError`
    when two members compute one variable, when the members form a cycle, or when types disagree.
    """

    models: list[Model] = Option(list[Model], "Models to compose, in any order")
    additional_outputs: list[str] = Option(
        list[str], "Consumed variables to return as well", default=()
    )

    def setup(self) -> None:
        if not self.models:
            raise ModelError(f"{self.label}: there is no model to compose")
        self._producers: dict[str, list[Model]] = {}
        for model in self.models:
            for variable in model.output_spec:
                self._producers.setdefault(variable, []).append(model)
        for variable, found in self._producers.items():
            found.sort(key=lambda model: variable in model.input_spec)
            for a, b in pairwise(found):
                if variable in a.input_spec or variable not in b.input_spec:
                    raise ModelError(
                        f"{self.label}: both '{a.label}' and '{b.label}' compute '{variable}'; "
                        "rename one or leave one out"
                    )
        self._order = self._sorted()
        for name, model in zip(model_names(self._order), self._order, strict=True):
            self.adopt(name, model)
        self._inputs, self._outputs = self._wire()

    def _source(self, variable: str, reader: Model) -> Model | None:
        """The member from which `reader` gets `variable`; None for an input."""
        found = self._producers.get(variable, [])
        return next((model for model in reversed(found) if model is not reader), None)

    def _sorted(self) -> list[Model]:
        graph = {
            model: [s for v in model.input_spec if (s := self._source(v, model)) is not None]
            for model in self.models
        }
        try:
            return list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            loop = " -> ".join(m.label for m in error.args[1])
            raise ModelError(
                f"{self.label}: the models form a cycle: {loop}; "
                "break it with an implicit update or a variable one step back (x~1)"
            ) from None

    def _wire(self) -> tuple[Spec, Spec]:
        spec: Spec = {v: t for m in self._order for v, t in m.output_spec.items()}
        inputs: Spec = {}
        consumed: set[str] = set()
        for model in self._order:
            for variable, kind in model.input_spec.items():
                known = spec.setdefault(variable, kind)
                if known is not kind:
                    raise ModelError(
                        f"{self.label}: '{variable}' is a {known.__name__} elsewhere, but "
                        f"'{model.label}' takes a {kind.__name__}"
                    )
                source = self._source(variable, model)
                if source is None:
                    inputs[variable] = kind
                elif source is self._producers[variable][-1]:
                    consumed.add(variable)
        members = [m for m in self.modules() if isinstance(m, Model)]
        providers = {provider for m in members for provider in m._nested.values()}
        for model in providers.intersection(self._order):
            consumed.update(model.output_spec)
        for variable in self.additional_outputs:
            if variable not in self._producers:
                raise ModelError(
                    f"{self.label}: additional output '{variable}' is not computed by any member"
                    f"{suggest(variable, self._producers)}"
                )
        outputs = {
            v: spec[v] for v in self._producers if v not in consumed or v in self.additional_outputs
        }
        return inputs, outputs

    @cached_property
    def input_spec(self) -> Spec:
        return self._inputs

    @cached_property
    def output_spec(self) -> Spec:
        return self._outputs

    def _evaluate(self, values: Values) -> Values:
        known = dict(values)
        for model in self._order:
            known.update(model._evaluate({name: known[name] for name in model.input_spec}))
        return {name: known[name] for name in self._outputs}
