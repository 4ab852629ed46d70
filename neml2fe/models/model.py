"""`Model`: a constitutive building block. Leaves declare fields and write `forward` only."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import torch

from neml2fe.errors import ModelError, suggest
from neml2fe.models.fields import (
    REQUIRED,
    Field,
    Generic,
    Input,
    Old,
    OptionField,
    Output,
    ParameterField,
    Variable,
)
from neml2fe.types import TypedTensor

Spec = dict[str, type[TypedTensor]]
Values = dict[str, TypedTensor]

REGISTRY: dict[str, type[Model]] = {}
_VARIABLE = re.compile(r"[^\s~]+(~[1-9]\d*)?")  # x, or x~1 for its value one step back


class Model(torch.nn.Module):
    """A map from named, typed input variables to named, typed output variables.

    Subclasses declare `Input`, `Output`, `Old`, `Parameter` and `Option` fields in the class
    body and write `forward(*inputs)`, which receives the declared inputs in order and
    returns the declared outputs in order. Derivatives of any order come from automatic
    differentiation; see `neml2fe.models.derivatives`. Forward hooks of torch act on models
    with a `forward`, not on compositions.

    Each parameter may be given as a number, a tensor (batched for values that vary by
    point), another model with one output (a nested parameter), or the name of a variable
    that is fed at run time. `model.E` is the typed value, `model.E.data` the
    `torch.nn.Parameter`.
    """

    fields: ClassVar[dict[str, Field]] = {}
    abstract: ClassVar[bool] = True
    label: str  # the name under which a deck or a composition knows this model

    def __init_subclass__(
        cls, tensor: type[TypedTensor] | None = None, abstract: bool = False, **kwargs: Any
    ) -> None:
        """`tensor` fills the `Generic` types of a family; `abstract` keeps a base unregistered."""
        super().__init_subclass__(**kwargs)
        own = {v.name: v for v in vars(cls).values() if isinstance(v, Field)}
        for attribute in [k for k, v in vars(cls).items() if isinstance(v, Field)]:
            delattr(cls, attribute)
        cls.fields = {**cls.fields, **own}
        if tensor is not None:
            cls.fields = {name: _specialise(f, tensor) for name, f in cls.fields.items()}
        cls.abstract = abstract
        if not abstract:
            REGISTRY[cls.__name__] = cls

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.label = str(given.pop("label", type(self).__name__))
        self._types: dict[str, type[TypedTensor]] = {}  # of parameters, by symbol
        self._sub_batch: dict[str, int] = {}  # their numbers of sub-batch dimensions
        self._runtime: dict[str, str] = {}  # symbol -> variable fed at run time
        self._nested: dict[str, Model] = {}  # symbol -> model that computes it
        self._bound: dict[str, TypedTensor] = {}  # values of the two above, during a call
        given = {key.rstrip("_"): value for key, value in given.items()}
        deck_fields = {n: f for n, f in self.fields.items() if not isinstance(f, Old)}
        for name in given:
            if name not in deck_fields:
                raise ModelError(
                    f"{type(self).__name__} has no field '{name}'{suggest(name, deck_fields)}"
                )
        self.names: dict[str, list[str]] = {}  # variable names by field; none for an absent input
        for name, field in deck_fields.items():
            if isinstance(field, OptionField):
                self.__dict__[field.attribute] = self._option(
                    field, given
                )  # models register in setup
            elif isinstance(field, Variable):
                self.names[name] = self._variable_names(field, given)
        for name, field in self.fields.items():
            if isinstance(field, Old):
                self.names[name] = [n + "~1" for n in self.names[field.of]]
                if any("~" in n for n in self.names[field.of]):
                    raise ModelError(
                        f"{type(self).__name__}: '{field.of}' is {self.names[field.of]}, whose "
                        "old value has no name; give a present variable"
                    )
            elif isinstance(field, ParameterField):
                self._declare(field, given)
        self.setup()

    # --- construction -----------------------------------------------------------------
    def setup(self) -> None:
        """Hook for what depends on several fields: extra parameters, changed variable names."""

    def _option(self, field: OptionField, given: Mapping[str, Any]) -> Any:
        value = given.get(field.name, field.default)
        if value is REQUIRED:
            raise ModelError(f"{type(self).__name__} needs the field '{field.name}' ({field.doc})")
        if field.choices:
            for choice in value if isinstance(value, (list, tuple)) else [value]:
                if choice not in field.choices:
                    raise ModelError(
                        f"{type(self).__name__}: '{choice}' is no {field.name}"
                        f"{suggest(str(choice), field.choices)}"
                    )
        return value if value is field.default else self._plain(field, value)

    def _plain(self, field: OptionField, value: Any) -> Any:
        """The value of a plain option as its declared type, where it is one exactly."""
        if field.type not in (bool, int, float, str) or type(value) is field.type:
            return value
        if (
            field.type in (int, float)
            and type(value) in (int, float)
            and value == field.type(value)
        ):
            return field.type(value)
        if field.type is str and isinstance(value, str):
            return value
        raise ModelError(
            f"{type(self).__name__}: '{field.name}' is a {field.type.__name__}, got {value!r}"
        )

    def _variable_names(self, field: Variable, given: Mapping[str, Any]) -> list[str]:
        value = given.get(field.name)
        if value is None:
            if isinstance(field, Input) and field.optional:
                return []
            chosen = {name: names[0] for name, names in self.names.items() if names}
            chosen["label"] = self.label
            value = field.name if field.default is None else field.default.format(**chosen)
        names = [value] if isinstance(value, str) else list(value)
        for name in names:
            if not _VARIABLE.fullmatch(name):
                raise ModelError(f"{type(self).__name__}: '{name}' is no name of a variable")
        if not field.many and len(names) != 1:
            raise ModelError(f"{type(self).__name__}: '{field.name}' takes one variable name")
        return names

    def _declare(self, field: ParameterField, given: Mapping[str, Any]) -> None:
        value = given.get(field.name, field.default)
        if value is REQUIRED:
            raise ModelError(f"{type(self).__name__} needs the field '{field.name}' ({field.doc})")
        if not field.many:
            self.declare_parameter(field.symbol, field.type, value, field.table)
            return
        for i, item in enumerate(value if isinstance(value, (list, tuple)) else [value]):
            self.declare_parameter(f"{field.symbol}_{i}", field.type, item, field.table)

    def declare_parameter(
        self, symbol: str, kind: type[TypedTensor], value: Any, table: int = 0
    ) -> None:
        """Make `self.<symbol>` a parameter of type `kind` from any of the accepted forms.

        The last `table` dimensions before the base shape are a sub-batch at least. Python
        numbers are stored in float64. Raises `ModelError` for a value of the wrong type.
        """
        self._types[symbol], self._sub_batch[symbol] = kind, table
        if isinstance(value, Model):
            if len(value.output_spec) != 1 or next(iter(value.output_spec.values())) is not kind:
                raise ModelError(
                    f"{type(self).__name__}.{symbol} needs a model with one {kind.__name__} "
                    f"output, but '{value.label}' computes "
                    f"{ {n: t.__name__ for n, t in value.output_spec.items()} }"
                )
            self.adopt(symbol, value)
            self._nested[symbol] = value
        elif isinstance(value, str):
            self._runtime[symbol] = value
        else:
            if isinstance(value, TypedTensor) and not isinstance(value, kind):
                raise ModelError(
                    f"{type(self).__name__}.{symbol} is a {kind.__name__}, "
                    f"got a {type(value).__name__}"
                )
            if isinstance(value, TypedTensor):
                self._sub_batch[symbol] = max(table, value.sub_batch_ndim)
                value = value.data
            if not isinstance(value, torch.Tensor) or not value.is_floating_point():
                value = torch.as_tensor(value, dtype=torch.float64)
            raw = kind(value, self._sub_batch[symbol]).data
            if not bool(torch.isfinite(raw).all()):
                raise ModelError(f"{type(self).__name__}.{symbol} must be finite, got {value}")
            if not isinstance(raw, torch.nn.Parameter):
                if raw.requires_grad:
                    raise ModelError(
                        f"{type(self).__name__}.{symbol}: a tensor that requires a gradient would "
                        "lose it here; give a torch.nn.Parameter, or the name of a variable"
                    )
                raw = torch.nn.Parameter(raw.detach().clone())
            self.register_parameter(symbol, raw)

    def count(self, symbol: str) -> int:
        """How many values a parameter field `many` was given: `symbol_0`, `symbol_1`, ..."""
        return sum(name.startswith(f"{symbol}_") for name in self._types)

    def adopt(self, name: str, member: Model) -> None:
        """Register `member` as a submodule under a deck's block name, which may be any word
        (`add_module` refuses names of attributes)."""
        self._modules[name.replace(".", "_")] = member

    def __getattr__(self, name: str) -> Any:
        """Parameters come back typed; inside a call, run-time and nested ones as their value."""
        state = self.__dict__
        if name in state.get("_types", ()):
            if name in state["_bound"]:
                return state["_bound"][name]
            if name in state["_parameters"]:
                return state["_types"][name](state["_parameters"][name], state["_sub_batch"][name])
        return super().__getattr__(name)

    def get_parameter(self, target: str) -> torch.nn.Parameter:
        """As torch's, which would take the typed attribute for no parameter."""
        known = dict(self.named_parameters(remove_duplicate=False))
        if target not in known:
            raise AttributeError(
                f"{self.label} has no parameter '{target}'{suggest(target, known)}"
            )
        return known[target]

    # --- variables --------------------------------------------------------------------
    def _declared(self, *kinds: type[Field]) -> list[tuple[str, type[TypedTensor]]]:
        found: list[tuple[str, type[TypedTensor]]] = []
        for name, field in self.fields.items():
            if isinstance(field, kinds):
                of = self.fields[field.of] if isinstance(field, Old) else field
                found += [(variable, of.type) for variable in self.names[name]]  # type: ignore[attr-defined]
        return found

    @cached_property
    def input_spec(self) -> Spec:
        """Types of the input variables by name: the declared ones, then those of parameters."""
        spec = dict(self._declared(Input, Old))
        for symbol, variable in self._runtime.items():
            spec.setdefault(variable, self._types[symbol])
        for provider in self._nested.values():
            for variable, kind in provider.input_spec.items():
                spec.setdefault(variable, kind)
        return spec

    @cached_property
    def output_spec(self) -> Spec:
        """Types of the output variables by name."""
        return dict(self._declared(Output))

    # --- evaluation -------------------------------------------------------------------
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Typed inputs in the order of `input_spec`, or by name as keywords.

        Returns the output, or a tuple of outputs in the order of `output_spec`. Raises
        `ModelError` when an input is missing, unknown or of the wrong type or shape.
        """
        names = list(self.input_spec)
        if len(args) > len(names):
            raise ModelError(f"{self.label} takes {len(names)} inputs {names}, got {len(args)}")
        outputs = self.evaluate({**dict(zip(names, args, strict=False)), **kwargs})
        results = tuple(outputs[name] for name in self.output_spec)
        return results[0] if len(results) == 1 else results

    def evaluate(self, values: Mapping[str, Any]) -> Values:
        """Outputs by name from inputs by name; raw tensors are taken as the declared type."""
        spec = self.input_spec
        for name in values:
            if name not in spec:
                raise ModelError(f"{self.label} has no input '{name}'{suggest(name, spec)}")
        return self._evaluate({name: self._typed(name, spec[name], values) for name in spec})

    def _typed(self, name: str, kind: type[TypedTensor], values: Mapping[str, Any]) -> TypedTensor:
        if name not in values:
            raise ModelError(f"{self.label} is missing the input '{name}' ({kind.__name__})")
        value = values[name]
        if isinstance(value, kind):
            return value
        if isinstance(value, TypedTensor):
            raise ModelError(
                f"{self.label}: input '{name}' is a {kind.__name__}, got a {type(value).__name__}"
            )
        try:
            return kind(value)
        except ModelError as error:
            raise ModelError(f"{self.label}: input '{name}': {error}") from None

    def _evaluate(self, values: Values) -> Values:
        """`evaluate` for inputs that are known to be complete and of the right types."""
        with self._bind(values):
            outputs = torch.nn.Module.__call__(self, *self._arguments(values))
        if isinstance(outputs, TypedTensor):
            outputs = (outputs,)
        return dict(zip(self.output_spec, outputs, strict=True))

    def _arguments(self, values: Values) -> Iterator[Any]:
        for name, field in self.fields.items():
            if isinstance(field, (Input, Old)):
                variables = self.names[name]
                yield from [values[v] for v in variables] if variables else [None]

    @contextmanager
    def _bind(self, values: Values) -> Iterator[None]:
        if not self._runtime and not self._nested:
            yield
            return
        try:
            for symbol, variable in self._runtime.items():
                self._bound[symbol] = values[variable]
            for symbol, provider in self._nested.items():
                inputs = {name: values[name] for name in provider.input_spec}
                (self._bound[symbol],) = provider._evaluate(inputs).values()
            yield
        finally:
            self._bound.clear()


def _specialise(field: Field, tensor: type[TypedTensor]) -> Field:
    """A copy of `field` with `Generic` replaced by `tensor`."""
    if getattr(field, "type", None) is not Generic:
        return field
    special = copy.copy(field)
    special.type = tensor  # type: ignore[attr-defined]
    return special


def model_names(models: Sequence[Model]) -> list[str]:
    """Distinct module names for a list of models, from their labels."""
    names: list[str] = []
    for model in models:
        name, k = model.label, 1
        while name in names:
            k += 1
            name = f"{model.label}_{k}"
        names.append(name)
    return names
