"""Boundary conditions, loads, constraints and fields, each a function of time."""
