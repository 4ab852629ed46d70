"""The command line: `neml2fe run | doctor`."""

from neml2fe.cli.main import main

__all__ = ["main"]
