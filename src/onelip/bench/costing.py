"""The costs of a comparison: measured by one process of a folder, while no other works there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from onelip.bench.comparison import Comparison
from onelip.bench.costs import Case, Note, measure_costs
from onelip.bench.origin import Machine
from onelip.bench.sessions import covers, find_sessions, keep, together
from onelip.bench.shared import SharedFolder
from onelip.bench.subject import Workload
from onelip.methods import METHODS

ROUNDS = 30
SECONDS = 60.0
"""Of the timed rounds of a measuring session, which may take longer where few rounds take that long."""

Say = Callable[[str], None]
Watch = Callable[[str], AbstractContextManager[Note]]


class Costing:
    """Measures what a comparison needs and its folder does not hold.

    Args:
        asked: What is compared.
        out: The folder of the records.
        shared: The same folder.
        machine: Where costs are measured.
        force: Whether to measure again, and replace, what is there.
        say: Is told, line by line, what happens.
        watch: Opens the progress display of one measuring session.
    """

    def __init__(
        self,
        asked: Comparison,
        out: Path,
        shared: SharedFolder,
        machine: Machine,
        *,
        force: bool,
        say: Say,
        watch: Watch,
    ) -> None:
        self._asked, self._out, self._shared, self._machine = asked, out, shared, machine
        self._force, self._say, self._watch = force, say, watch

    def tell(self) -> None:
        """Says what was measured before."""
        for workload, cases in self._asked.measurements():
            if self._is_measured(workload, cases):
                self._say(f"{_title(workload)}: measured before")

    def measure_missing(self) -> bool:
        """Measures all that is missing, unless another process would be measured along.

        Returns:
            Whether nothing is missing now.
        """
        missing = [needed for needed in self._asked.measurements() if not self._is_measured(*needed)]
        if not missing:
            return True

        with self._shared.quiet() as alone:
            if alone:
                for workload, cases in missing:
                    self._measure(workload, cases)
        return alone

    def _is_measured(self, workload: Workload, cases: Sequence[Case]) -> bool:
        sessions = find_sessions(self._out, workload, self._machine)
        return not self._force and any(covers(session, cases) for session in sessions.values())

    def _measure(self, workload: Workload, cases: Sequence[Case]) -> None:
        sessions, title = find_sessions(self._out, workload, self._machine), _title(workload)
        known = {method.name: method for method in (*METHODS.values(), *self._asked.methods)}
        cases = together(cases, sessions.values(), known)
        self._say(f"{title}: measuring {len(cases)} networks in turn")
        with self._watch(title) as note:
            session = measure_costs(cases, workload, rounds=ROUNDS, time_limit=SECONDS, note=note)
        keep(session, self._out, instead_of=sessions if self._force else None)
        self._say(f"{title}: measured in {session.seconds:.0f} s")


def _title(workload: Workload) -> str:
    image = "x".join(map(str, workload.image))
    return f"costs, size {workload.size}, images {image}, batch {workload.batch_size}"
