"""Downloads of data sets: checked, resumable, and unpacked whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from onelip.bench.data.base import missing_package
from onelip.bench.data.source import Archive, DataSource
from onelip.bench.folder import held
from onelip.errors import DataError

Meter: TypeAlias = Callable[[str, int, int], None]
"""Shows what is done: its title, and how many of how many bytes."""

CHUNK = 2**16
"""Bytes of which the last ones are lost when a connection breaks."""

TIMEOUT = 30
"""Seconds without a byte until the connection is given up."""


def fetch(source: DataSource, folder: Path, meter: Meter) -> Path:
    """Downloads a data set, checks the archive's published digest, and unpacks it.

    What a broken download leaves is gone on with the next time. The archive is removed when all of it is unpacked.

    Args:
        source: What to get.
        folder: Where its own folder is put.
        meter: Shows how far it is.

    Returns:
        The data set's folder; at once, where it is there.

    Raises:
        DataError: It comes with onelip, the disk has no room, the connection breaks, or what came is not the archive.
        RecordError: The folder cannot be written, or another process writes into it.
    """
    archive = source.archive
    if archive is None:
        raise DataError(f"{source.name} comes with onelip: there is nothing to fetch")
    there = source.find(folder)
    if there is not None:
        return there
    with held(folder, "--data-dir"):
        _check_room(archive, folder)
        path = _download(archive, folder, meter)
        with _writing(folder):
            _unpack(path, archive, folder, meter)
            path.unlink()
    return folder / archive.folder


def _check_room(archive: Archive, folder: Path) -> None:
    there = [path.stat().st_size for path in (folder / archive.name, _part(archive, folder)) if path.is_file()]
    free, needed = shutil.disk_usage(folder).free, archive.bytes + archive.unpacked - sum(there)
    if free < needed:
        raise DataError(
            f"{folder}: {free / 1e6:,.0f} MB are free, and {archive.name} needs {needed / 1e6:,.0f} MB while it is "
            "unpacked; make room, or name another --data-dir"
        )


def _download(archive: Archive, folder: Path, meter: Meter) -> Path:
    """The archive, once its digest is found to be right."""
    try:
        import pooch
        import requests
    except ImportError as error:
        raise missing_package(error.name or "pooch", "onelip data fetch") from error
    pooch.get_logger().setLevel(logging.WARNING)
    part = _part(archive, folder)

    def resume(url: str, output_file: str, _: object) -> None:
        _download_rest(url, part, archive.bytes, meter)
        part.replace(output_file)

    try:
        with _writing(folder):
            path = pooch.retrieve(archive.url, f"md5:{archive.md5}", archive.name, folder, downloader=resume)
    except requests.RequestException as error:
        there = part.stat().st_size / 1e6 if part.exists() else 0.0
        raise DataError(
            f"{archive.url}: the download stopped at {there:,.0f} of {archive.bytes / 1e6:,.0f} MB "
            f"({_reason(error)}); the same command goes on from there. Or get it by other means, and unpack "
            f"it in {folder}"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{archive.url}: what came is not the file with md5 {archive.md5}, and was removed; try again, or get it "
            f"by other means, and unpack it in {folder}"
        ) from error
    return Path(path)


def _part(archive: Archive, folder: Path) -> Path:
    """What has come of an archive so far."""
    return folder / f".{archive.name}.part"


def _download_rest(url: str, part: Path, size: int, meter: Meter) -> None:
    """Appends to a file what is missing of it; all, where the server knows no parts."""
    import requests

    there = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            return  # all of it is there, or something else, as its digest will show
        response.raise_for_status()
        goes_on = response.headers.get("Content-Range", "").startswith(f"bytes {there}-")
        done = there if response.status_code == requests.codes.partial_content and goes_on else 0
        with part.open("ab" if done else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                meter(f"Downloading {PurePosixPath(url).name}", done, max(size, done))


def _reason(error: BaseException) -> str:
    """What was wrong at first, below what every library on the way made of it."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)


def _unpack(path: Path, archive: Archive, folder: Path, meter: Meter) -> None:
    """The archive's folder; nothing of it is seen before all is there."""
    for older in folder.glob(f".{archive.folder}.*.tmp"):  # of a process that was killed: the folder is ours
        shutil.rmtree(older)
    temporary, done = folder / f".{archive.folder}.{os.getpid()}.tmp", 0
    try:
        for name, content in _members(path):
            target = temporary / _safe(name, path)
            if target.relative_to(temporary).parts[0] != archive.folder:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(content, file, CHUNK)
                done += file.tell()
            meter(f"Unpacking {archive.name}", done, max(archive.unpacked, done))
        (temporary / archive.folder).rename(folder / archive.folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: is damaged ({error}); remove it, and fetch it again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """The names and contents of the files in an archive."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    with packed.open(entry) as content:
                        yield entry.filename, content
        return
    with tarfile.open(path) as tape:
        for member in tape:
            if member.isdir():
                continue
            unpacked = tape.extractfile(member) if member.isreg() else None
            if unpacked is None:
                raise DataError(f"{path}: holds {member.name!r}, which is not a file; refused")
            yield member.name, unpacked


def _safe(name: str, path: Path) -> PurePosixPath:
    """Where a file of an archive belongs: below the folder, whatever it says."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or any(":" in part for part in parts):
        raise DataError(f"{path}: holds {name!r}, which leads out of its folder; refused")
    return PurePosixPath(*parts)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turns the errors of a full or forbidden disk into one that says so."""
    import requests

    try:
        yield
    except requests.RequestException:  # an OSError, too
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room, and the same command goes on" if full else "remove what is in the way"
        named = error.filename if isinstance(error.filename, str) else folder
        raise DataError(f"{named}: cannot be written ({error.strerror or error}); {advice}") from error
