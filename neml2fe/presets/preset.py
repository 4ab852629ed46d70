"""`Preset`: a composed model that writes its own members; elastic and implicit ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import torch

from neml2fe.errors import ModelError
from neml2fe.models import ComposedModel, Model, Option
from neml2fe.models.fields import Field, OptionField
from neml2fe.presets.expansion import Expansion
from neml2fe.presets.laws import Law, Role, Value
from neml2fe.presets.roles import ELASTICITY
from neml2fe.types import MRP

Members = list[Model]
THERMAL = "thermal_strain"


class Preset(ComposedModel, abstract=True):
    """Fields of a preset name laws and values; `compose` makes the members from them.

    From outside a preset is the `ComposedModel` that its expansion describes: the same
    members, variables and parameters. Raises `ModelError` for laws that do not fit.
    """

    fields: ClassVar[dict[str, Field]] = {}  # members are made here, not given

    def setup(self) -> None:
        # Members may be called as fields are, so the fields' values move out of their way.
        attributes = [f.attribute for f in self.fields.values() if isinstance(f, OptionField)]
        self.given = SimpleNamespace(**{a: self.__dict__.pop(a) for a in attributes})
        for name, field in self.fields.items():
            if isinstance(field, OptionField) and isinstance(field.type, Value):
                try:
                    field.type.check(getattr(self.given, field.attribute))
                except ModelError as error:
                    raise ModelError(f"{self.label}: {name}: {error.message}") from None
        self._deck = Expansion([self.label])
        self.models, self.additional_outputs = self.compose(self._deck)
        super().setup()

    def compose(self, deck: Expansion) -> tuple[Members, list[str]]:
        """The members and the consumed variables to return as well."""
        raise NotImplementedError

    def expansion(self) -> str:
        """The long deck that this preset stands for, with the present values of parameters."""
        members: dict[str, Any] = {"models": self.models}
        if self.additional_outputs:
            members["additional_outputs"] = self.additional_outputs
        return self._deck.text(self.label, members)

    def laws(self, field: str) -> list[Law]:
        """The laws that a field gives."""
        declared = self.fields[field]
        assert isinstance(declared, OptionField) and isinstance(declared.type, Role)
        try:
            return declared.type.read(getattr(self.given, field))
        except ModelError as error:
            raise ModelError(f"{self.label}: {field}: {error.message}") from None

    def member(self, deck: Expansion, name: str, law: Law, **wiring: Any) -> Model:
        """The model of a law; `wiring` holds where the law says nothing else."""
        if law.model is not None:
            return law.model
        fields = {
            field: self.member(deck, value.name, value) if isinstance(value, Law) else value
            for field, value in law.fields.items()
        }
        return deck.model(name, law.type, **{**wiring, **fields})


class ElasticPreset(Preset, abstract=True):
    """Total strain less inelastic and thermal strain gives stress."""

    elasticity: Any = Option(ELASTICITY, "Elastic law")
    orientation: Any = Option(
        Value(MRP), "Axes of an anisotropic elastic law (default: those of space)", default=None
    )
    thermal_expansion: Any = Option(
        Value(), "Coefficient of thermal expansion; adds the input 'temperature'", default=None
    )
    reference_temperature: Any = Option(Value(), "Stress-free temperature", default=None)

    def elastic(self, deck: Expansion, inelastic: list[str]) -> Members:
        """Members from 'strain' and the `inelastic` strains to 'stress'."""
        members, strain = self.mechanical(deck, inelastic, "elastic_strain")
        return [*members, *self.stress(deck, strain)]

    def mechanical(self, deck: Expansion, inelastic: list[str], name: str) -> tuple[Members, str]:
        """Members that take inelastic and thermal strains off the total one, and the variable."""
        thermal = self._thermal(deck)
        parts = ["strain", *inelastic, *([] if self.given.thermal_expansion is None else [THERMAL])]
        if len(parts) == 1:
            return [], "strain"
        weights = [1.0, *[-1.0] * (len(parts) - 1)]
        return [*thermal, self.combination(deck, "SR2", name, parts, weights)], name

    def stress(self, deck: Expansion, strain: str, name: str = "stress") -> Members:
        """Members of the elastic law from the variable `strain` to the stress `name`."""
        (law,) = self.laws("elasticity")
        axes, wiring = self.axes(deck, law, needed=True)
        return [*axes, self.member(deck, "elasticity", law, strain=strain, stress=name, **wiring)]

    def axes(self, deck: Expansion, law: Law, needed: bool) -> tuple[Members, dict[str, str]]:
        """The member that gives the axes of an anisotropic law, once, and the law's wiring."""
        if law.model is not None or "orientation" not in law.declared:
            return [], {}
        if isinstance(self.given.orientation, str):
            return [], {"orientation": self.given.orientation}
        if self.given.orientation is None and not needed:
            return [], {}
        if "orientation" in deck.labels:
            return [], {"orientation": "orientation"}
        space = MRP(torch.zeros(3, dtype=torch.float64))
        value = space if self.given.orientation is None else self.given.orientation
        axes = deck.model(
            "orientation", "MRPConstantParameter", value=value, parameter="orientation"
        )
        return [axes], {"orientation": "orientation"}

    def combination(
        self, deck: Expansion, kind: str, name: str, parts: list[str], weights: list[Any]
    ) -> Model:
        """A linear combination called `name`, as its variable."""
        return deck.model(name, f"{kind}LinearCombination", from_=parts, to_=name, weights=weights)

    def _thermal(self, deck: Expansion) -> Members:
        """The member of the thermal strain, where there is one and it is not made yet."""
        given = (self.given.thermal_expansion, self.given.reference_temperature)
        if any(v is None for v in given) != all(v is None for v in given):
            raise ModelError(
                f"{self.label}: 'thermal_expansion' and 'reference_temperature' go together"
            )
        if given[0] is None or THERMAL in deck.labels:
            return []
        values = {"CTE": given[0], "reference_temperature": given[1]}
        return [deck.model(THERMAL, "ThermalEigenstrain", eigenstrain=THERMAL, **values)]


class ImplicitPreset(ElasticPreset, abstract=True):
    """Inelastic strains from a Newton solve at every point."""

    abs_tol: float = Option(float, "Newton: absolute tolerance of the residual", default=1e-10)
    rel_tol: float = Option(float, "Newton: tolerance relative to the first residual", default=1e-8)
    max_its: int = Option(int, "Newton: iterations allowed", default=50)

    @property
    def line_search(self) -> bool:
        """Whether every step of Newton's method needs a line search."""
        return False

    def solve(
        self,
        deck: Expansion,
        rates: Members,
        states: dict[str, str],
        others: dict[str, str] | None = None,
        guess: Model | None = None,
    ) -> Model:
        """The update by backward Euler of `states`, given with their rates, together with the
        unknowns `others`, given with their residuals. Without a `guess` states start from
        their old values, others from zero."""
        kinds = {n: t for model in rates for n, t in model.output_spec.items()}
        integrated = [
            deck.model(
                f"integrate_{name}",
                f"{kinds[rate].__name__}BackwardEulerTimeIntegration",
                variable=name,
                rate=rate,
            )
            for name, rate in states.items()
        ]
        others = others or {}
        if self.given.max_its < 1:
            raise ModelError(f"{self.label}: max_its must be at least 1, got {self.given.max_its}")
        if guess is None:
            by_kind: dict[str, list[str]] = {}
            for name, rate in states.items():
                by_kind.setdefault(f"unknowns_{kinds[rate].__name__}", []).append(name)
            guess = deck.model("predictor", "ConstantExtrapolationPredictor", **by_kind)
        return deck.update(
            deck.model("rates", "ComposedModel", models=[*rates, *integrated]),
            [*states, *others],
            [*(f"{name}_residual" for name in states), *others.values()],
            guess,
            line_search=self.line_search,
            abs_tol=self.given.abs_tol,
            rel_tol=self.given.rel_tol,
            max_its=self.given.max_its,
        )

    def all_inelastic(self, deck: Expansion, name: str) -> Model:
        """The guess that the whole increment of strain goes into the strain `name`. It keeps
        the first residual of a rate law within bounds, which an elastic step may exceed by far."""
        parts, weights = [f"{name}~1", "strain", "strain~1"], [1.0, 1.0, -1.0]
        return deck.model(
            "predictor", "SR2LinearCombination", from_=parts, to_=name, weights=weights
        )
