"""A folder of results in which several processes work at a time: none does what another is doing.

Locks are held by the system and end with their process, however it ends; what lies in `.locks` says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from onelip.bench.folder import check_writable
from onelip.errors import RecordError
from onelip.files import write_text

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
        self._seat, self._place, self._keeps_out = -1, "", False

    @contextmanager
    def entered(self, place: str = "", *, alone: bool = False) -> Iterator[None]:
        """Works in the folder; first waits until nobody measures there.

        Args:
            place: Machine and device on which this process trains.
            alone: Keep others out all the time.

        Raises:
            RecordError: Alone was asked for, and another process works there; or there are too many.
        """
        with ExitStack() as stack:
            self._seat, self._place = self._take_seat(stack), place
            write_text(self._place_of(self._seat), "")
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
    def working(self) -> Iterator[None]:
        """Trains at the place of this process, as others can see meanwhile."""
        path = self._place_of(self._seat)
        write_text(path, self._place)
        try:
            yield
        finally:
            write_text(path, "")

    def at_run(self, name: str) -> AbstractContextManager[bool]:
        """Whether this process may do the run of a folder of that name; if so no other one may until this ends."""
        return self.claimed(_run(name))

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

    def is_beside(self) -> bool:
        """Whether another process trains here at the same place."""
        return any(self._read_place(number) == self._place for number in self._others())

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
        return not any(True for _ in self._others())

    def _others(self) -> Iterator[int]:
        """The other seats that are taken."""
        for path in self._locks.glob(f"{_seat('*')}.lock"):
            number = int(path.stem.removeprefix(_seat("")))
            if number != self._seat and self._is_taken(number):
                yield number

    def _is_taken(self, number: int) -> bool:
        with self.claimed(_seat(number)) as free:
            return not free

    def _read_place(self, number: int) -> str | None:
        with suppress(OSError):
            return self._place_of(number).read_text(encoding="utf-8")
        return None

    def _place_of(self, number: int) -> Path:
        return self._locks / f"{_seat(number)}.place"

    def _lock(self, name: str) -> FileLock:
        return FileLock(self._locks / f"{name}.lock")


@contextmanager
def claimed_above(folder: Path) -> Iterator[None]:
    """Keeps a comparison in the folder above from the run of a folder.

    Raises:
        RecordError: It is at it.
    """
    above = folder.resolve().parent
    if not (above / LOCKS).is_dir():
        yield
        return
    try:
        with FileLock(above / LOCKS / f"{_run(folder.resolve().name)}.lock", blocking=False):
            yield
    except Timeout as error:
        raise RecordError(
            f"another process of onelip compares in {above} and is at {folder}; wait until it ends"
        ) from error


def _run(name: str) -> str:
    return f"run-{name}"


def _seat(number: int | str) -> str:
    return f"seat-{number}"
