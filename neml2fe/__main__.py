"""`python -m neml2fe`."""

from neml2fe.cli import main

raise SystemExit(main())
