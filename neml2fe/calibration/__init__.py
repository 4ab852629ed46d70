"""Calibration of material parameters against measured histories of specimens."""
