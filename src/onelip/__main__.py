"""`python -m onelip`, and the program `onelip`."""

from __future__ import annotations

import ctypes
import os
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of glibc's mallopt."""
OWN_LIMIT, NEVER = 2**25, -1
"""Up to how many bytes glibc keeps the memory of one allocation by itself; and no trimming of the heap at all."""


def keep_memory() -> None:
    """Has glibc keep the memory at the end of its heap for the next step, unless the user decided otherwise.

    It gives it back after each step, and the next one takes it anew, page by page, for a tenth of its time and more.
    """
    chosen = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if sys.platform == "linux" and not chosen:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(MMAP_THRESHOLD, OWN_LIMIT)
            mallopt(TRIM_THRESHOLD, NEVER)


def wait_asleep() -> None:
    """Has threads that wait for work sleep after some microseconds, unless the user decided otherwise.

    Threads of GNU's OpenMP (that of torch on Linux) would spin: beside other programs a training step then slows
    tenfold, not by their share of the machine. On a quiet machine it costs nothing. To be set before torch is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def main() -> None:
    """Runs the command line, or says what it needs."""
    keep_memory()
    wait_asleep()
    try:
        from onelip.cli import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "onelip":
            raise
        sys.exit(f'onelip: the command line needs {error.name}, which is not installed: pip install "onelip[bench]"')
    app(prog_name="onelip")


if __name__ == "__main__":
    main()
