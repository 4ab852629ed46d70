"""Integrals over elements and facets: strain measures, forces, stiffness."""
