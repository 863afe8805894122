"""A folder of results in which several processes work at a time: none does what another is doing.

Locks are held by the system and end with their process, however it ends; what lies in `.locks` says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from onelip.bench.folder import check_writable
from onelip.errors import RecordError

LOCKS = ".locks"
SEATS = 256
"""Most processes in one folder."""


class SharedFolder:
    """One process in a folder of results.

    Args:
        folder: Is made if there is none.
        say: Is told what is waited for.
        option: How the user named it.

    Raises:
        RecordError: It cannot be made or written.
    """

    def __init__(self, folder: Path, say: Callable[[str], None], option: str = "--out") -> None:
        check_writable(folder, option)
        self._folder, self._locks, self._say = folder, folder / LOCKS, say
        try:
            self._locks.mkdir(exist_ok=True)
        except OSError as error:
            raise RecordError(f"cannot make {self._locks}: {error.strerror or error}") from error
        self._seat, self._keeps_out = -1, False

    @contextmanager
    def entered(self, *, alone: bool = False) -> Iterator[None]:
        """Works in the folder; first waits until nobody measures there.

        Args:
            alone: Keep others out all the time.

        Raises:
            RecordError: Alone was asked for, and another process works there; or there are too many.
        """
        with ExitStack() as stack:
            self._seat = self._take_seat(stack)
            gate = self._lock("gate")
            self._pass(gate)
            try:
                if not alone:
                    gate.release()
                elif not self._alone():
                    raise RecordError(
                        f"another process of onelip works in {self._folder}; wait until it ends, or name another folder"
                    )
                self._keeps_out = alone
                yield
            finally:
                gate.release()
                self._seat, self._keeps_out = -1, False

    @contextmanager
    def quiet(self) -> Iterator[bool]:
        """Whether no other process works here; if so none begins before this ends."""
        if self._keeps_out:
            yield True
            return
        with self.claimed("gate") as mine:
            yield mine and self._alone()

    @contextmanager
    def claimed(self, name: str) -> Iterator[bool]:
        """Whether this process may do what is called so; if so no other one may until this ends."""
        lock = self._lock(name)
        if not self._acquired(lock, blocking=False):
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Waits until no other process does what is called so."""
        lock = self._lock(name)
        self._acquired(lock, blocking=True)
        try:
            yield
        finally:
            lock.release()

    def _pass(self, gate: FileLock) -> None:
        if not self._acquired(gate, blocking=False):
            self._say(f"Another process measures in {self._folder}, or has it for itself: waiting until it is done")
            self._acquired(gate, blocking=True)

    def _acquired(self, lock: FileLock, *, blocking: bool) -> bool:
        try:
            lock.acquire(blocking=blocking)
        except Timeout:
            return False
        except OSError as error:
            raise RecordError(f"cannot write {self._locks}: {error.strerror or error}") from error
        return True

    def _take_seat(self, stack: ExitStack) -> int:
        for number in range(SEATS):
            if stack.enter_context(self.claimed(_seat(number))):
                return number
        raise RecordError(f"{SEATS} processes of onelip work in {self._folder}; that is the limit")

    def _alone(self) -> bool:
        """Whether no other seat is taken."""
        for path in self._locks.glob("seat-*.lock"):
            if path.stem != _seat(self._seat):
                with self.claimed(path.stem) as free:
                    if not free:
                        return False
        return True

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._locks / f"{name}.lock")


def _seat(number: int) -> str:
    return f"seat-{number}"
