"""HIT decks as sources of objects."""

from neml2fe.input.factory import Input, load_input, load_model, load_nonlinear_system

__all__ = ["Input", "load_input", "load_model", "load_nonlinear_system"]
