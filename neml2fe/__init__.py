"""neml2fe: one material description for material points, finite elements and calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neml2fe.input import load_input, load_model, load_nonlinear_system

__version__ = "0.1.0"
_LOADERS = ("load_input", "load_model", "load_nonlinear_system")
__all__ = ["__version__", "load_input", "load_model", "load_nonlinear_system"]


def __getattr__(name: str) -> Any:
    """Deck loaders are imported on first use, so that `import neml2fe` stays light."""
    if name in _LOADERS:
        import neml2fe.input

        return getattr(neml2fe.input, name)
    raise AttributeError(f"module 'neml2fe' has no attribute '{name}'")
