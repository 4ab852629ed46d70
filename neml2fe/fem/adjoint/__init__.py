"""Gradients through histories: states read backwards, adjoint sweeps, sensitivities."""
