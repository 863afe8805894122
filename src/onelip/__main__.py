"""`python -m onelip`, and the program `onelip`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Runs the command line, or says what it needs.

    Threads of GNU's OpenMP (that of torch on Linux) that wait for work spin for some microseconds only and then sleep,
    unless the user decided otherwise: beside other programs a training step then slows by their share of the machine,
    not tenfold, and on a quiet machine by nothing. It must be set before torch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        from onelip.cli import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "onelip":
            raise
        sys.exit(f'onelip: the command line needs {error.name}, which is not installed: pip install "onelip[bench]"')
    app(prog_name="onelip")


if __name__ == "__main__":
    main()
