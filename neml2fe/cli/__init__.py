"""The command line: `neml2fe run | calibrate | inspect | compile | syntax | doctor`."""

from neml2fe.cli.main import main

__all__ = ["main"]
