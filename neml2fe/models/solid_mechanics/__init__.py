"""Elasticity, plasticity and viscoplasticity."""
