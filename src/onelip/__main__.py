"""`python -m onelip`, and the program `onelip`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line, or says what it needs.

    Threads that wait for work sleep instead of spinning, unless the user decided otherwise: beside other programs a
    training step then slows by their share of the machine, not tenfold. It must be set before torch is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        from onelip.cli import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "onelip":
            raise
        sys.exit(f'onelip: the command line needs {error.name}, which is not installed: pip install "onelip[bench]"')
    app(prog_name="onelip")


if __name__ == "__main__":
    main()
