"""Downloads are checked and resumed, and unpacked whole or not at all; no archive writes outside of its folder."""

import hashlib
import io
import json
import re
import shutil
import stat
import tarfile
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from onelip.bench.data import DATASETS, fetch
from onelip.bench.data.source import Archive
from onelip.bench.folder import LOCK_NAME
from onelip.cli import app
from onelip.errors import DataError, RecordError

FILES = {"things/a.txt": b"a" * 3000, "things/deep/er/b.bin": bytes(range(256)) * 40}
SOURCE = DATASETS["cifar10"]


def tape(files: dict[str, bytes], *, links: dict[str, str] = {}, kind: bytes = tarfile.SYMTYPE) -> bytes:  # noqa: B006
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            packed.addfile(entry)
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("things/", b"")
        for name, content in files.items():
            packed.writestr(name, content)
    return buffer.getvalue()


class Server:
    """Serves one file on this machine; it can break off, know no ranges, or send something else."""

    def __init__(self) -> None:
        self.content, self.ranges, self.breaks_after = b"", True, None
        self.asked: list[str | None] = []
        self.sent, self.gone = 0, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        asked = request.headers.get("Range")
        self.asked.append(asked)
        if self.gone:
            request.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        if start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        request.send_header("Content-Length", str(len(self.content) - start))
        request.end_headers()
        body = self.content[start:]
        body = body if self.breaks_after is None else body[: self.breaks_after]
        self.sent += len(body)
        request.wfile.write(body)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self.thread.join()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.close()


def source(server: Server, content: bytes, name: str = "things.tar.gz", **changes: object):
    """A data set of which the server has the archive."""
    server.content = content
    archive = Archive(
        url=server.url(name),
        md5=hashlib.md5(content).hexdigest(),
        bytes=len(content),
        unpacked=14_000,
        folder="things",
    )
    return replace(SOURCE, archive=replace(archive, **changes), folders=("things",))


def silent(*_: object) -> None:
    pass


def unpacked(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("name", "pack"), [("things.tar.gz", tape), ("things.tgz", tape), ("things.zip", zipped)])
def test_it_is_there_and_nothing_else_is(server, tmp_path, name, pack):
    extra = {"elsewhere/c.txt": b"c", "._things": b"d"}
    folder = tmp_path / "data"
    assert fetch.fetch(source(server, pack({**FILES, **extra}), name), folder, silent) == folder / "things"
    assert unpacked(folder) == FILES


def test_what_is_there_is_not_fetched(server, tmp_path):
    (tmp_path / "things").mkdir()
    (tmp_path / "things" / "a.txt").write_bytes(b"a")
    for folder in (tmp_path, tmp_path / "things"):
        assert fetch.fetch(source(server, tape(FILES)), folder, silent) == tmp_path / "things"
    assert server.asked == []


def test_an_empty_folder_is_not_the_data_set(server, tmp_path):
    (tmp_path / "things").mkdir()
    fetch.fetch(source(server, tape(FILES)), tmp_path, silent)
    assert unpacked(tmp_path) == FILES


def test_what_is_there_of_the_archive_needs_no_room(server, tmp_path, monkeypatch):
    wanted = source(server, tape(FILES))
    (tmp_path / ".things.tar.gz.part").write_bytes(server.content[:-1])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage._replace(free=14_001))
    fetch.fetch(wanted, tmp_path, silent)
    assert unpacked(tmp_path) == FILES


def test_a_download_that_broke_off_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 10)
    wanted = source(server, tape(FILES))
    server.breaks_after = 100
    with pytest.raises(DataError, match=r"stopped at 0 of 0 MB .*; the same command goes on from there"):
        fetch.fetch(wanted, tmp_path, silent)
    assert not (tmp_path / "things").exists()
    server.breaks_after = None
    fetch.fetch(wanted, tmp_path, silent)
    assert server.asked == [None, "bytes=100-"]
    assert server.sent == len(server.content), "no byte twice"
    assert unpacked(tmp_path) == FILES


def test_a_server_that_knows_no_ranges_sends_all_again(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 10)
    wanted = source(server, tape(FILES))
    server.ranges, server.breaks_after = False, 100
    with pytest.raises(DataError, match="stopped"):
        fetch.fetch(wanted, tmp_path, silent)
    server.breaks_after = None
    fetch.fetch(wanted, tmp_path, silent)
    assert unpacked(tmp_path) == FILES


def test_a_part_that_is_whole_is_enough(server, tmp_path):
    wanted = source(server, tape(FILES))
    (tmp_path / ".things.tar.gz.part").write_bytes(server.content)
    fetch.fetch(wanted, tmp_path, silent)
    assert unpacked(tmp_path) == FILES
    assert server.sent == 0


@pytest.mark.parametrize("there", [b"", b"something else", b"longer" * 10_000])
def test_what_is_not_the_archive_is_removed(server, tmp_path, there):
    wanted = source(server, tape(FILES), md5="0" * 32)
    if there:
        (tmp_path / ".things.tar.gz.part").write_bytes(there)
    with pytest.raises(DataError, match=r"what came is not the file with md5 0{32}, and was removed; try again"):
        fetch.fetch(wanted, tmp_path, silent)
    assert unpacked(tmp_path) == {}


def test_no_connection_says_what_to_do(server, tmp_path):
    wanted = source(server, tape(FILES))
    server.close()
    with pytest.raises(DataError, match=r"Connection refused\); the same command .* unpack it in"):
        fetch.fetch(wanted, tmp_path, silent)


def test_an_address_that_is_gone(server, tmp_path):
    wanted = source(server, tape(FILES))
    server.gone = True
    with pytest.raises(DataError, match=r"stopped at 0 .*404.*unpack it in"):
        fetch.fetch(wanted, tmp_path, silent)


ESCAPES = ["../evil", "things/../../evil", "/evil", "..\\evil", "C:\\evil", "things/c:evil"]


@pytest.mark.parametrize(("archive", "pack"), [("things.tar.gz", tape), ("things.zip", zipped)])
@pytest.mark.parametrize("name", ESCAPES)
def test_no_name_leads_out(server, tmp_path, archive, pack, name):
    folder = tmp_path / "inner" / "data"
    with pytest.raises(DataError, match=r"which leads out of its folder; refused"):
        fetch.fetch(source(server, pack({"things/a.txt": b"a", name: b"evil"}), archive), folder, silent)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [archive], "kept, to be looked at"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(server, tmp_path, kind):
    content = tape({"things/a.txt": b"a"}, links={"things/link": "/etc/passwd"}, kind=kind)
    with pytest.raises(DataError, match=r"(holds 'things/link', which is not a file|linkname '/etc/passwd' not found)"):
        fetch.fetch(source(server, content), tmp_path, silent)
    assert not (tmp_path / "things").exists()


def test_a_link_in_a_zip_is_a_file_with_its_text(server, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        entry = zipfile.ZipInfo("things/link")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(entry, "/etc/passwd")
    fetch.fetch(source(server, buffer.getvalue(), "things.zip"), tmp_path, silent)
    link = tmp_path / "things" / "link"
    assert (link.is_symlink(), link.read_text()) == (False, "/etc/passwd")


def test_a_full_disk_is_seen_before(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(DataError, match=r"0 MB are free, and things\.tar\.gz needs 0 MB"):
        fetch.fetch(source(server, tape(FILES)), tmp_path, silent)
    assert server.asked == []


def test_a_disk_that_fills_up_keeps_the_archive_and_no_half(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    wanted = source(server, tape(FILES))
    with monkeypatch.context() as patched:
        patched.setattr(fetch.shutil, "copyfileobj", full)
        with pytest.raises(DataError, match=r"No space left on device\); make room, and the same command goes on"):
            fetch.fetch(wanted, tmp_path, silent)
    assert list(unpacked(tmp_path)) == ["things.tar.gz"]
    fetch.fetch(wanted, tmp_path, silent)
    assert (len(server.asked), unpacked(tmp_path)) == (1, FILES)


def test_what_a_killed_process_left_is_removed(server, tmp_path):
    left = tmp_path / ".things.4711.tmp" / "things"
    left.mkdir(parents=True)
    (left / "half.bin").write_bytes(b"h")
    fetch.fetch(source(server, tape(FILES)), tmp_path, silent)
    assert unpacked(tmp_path) == FILES


def test_two_processes_do_not_fetch_into_one_folder(server, tmp_path):
    with FileLock(tmp_path / LOCK_NAME), pytest.raises(RecordError, match=r"another process .* another --data-dir"):
        fetch.fetch(source(server, tape(FILES)), tmp_path, silent)


def test_the_meter_reaches_its_end(server, tmp_path):
    seen: dict[str, tuple[int, int]] = {}
    content = tape(FILES)
    fetch.fetch(source(server, content), tmp_path, lambda title, done, total: seen.update({title: (done, total)}))
    assert seen["Downloading things.tar.gz"] == (len(content), len(content))
    assert seen["Unpacking things.tar.gz"] == (sum(map(len, FILES.values())), 14_000)


def test_every_archive_is_declared():
    for named in DATASETS.values():
        assert (named.archive is not None) == named.needs_folder
        if named.archive is not None:
            assert re.fullmatch(r"[0-9a-f]{32}", named.archive.md5)
            assert named.archive.name.endswith((".tgz", ".tar.gz", ".zip"))
            assert named.archive.folder in named.folders


def onelip(*arguments: object):
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def test_list_says_what_is_here(tmp_path, monkeypatch):
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    (tmp_path / "imagenette2-160" / "train").mkdir(parents=True)
    (tmp_path / "cifar-10-batches-py").mkdir()
    rows = json.loads(onelip("list", "--json", "--data-dir", tmp_path).stdout)
    assert [row["name"] for row in rows] == list(DATASETS)
    assert {row["name"]: row["here"] for row in rows if row["here"]} == {
        "digits": "comes with onelip",
        "imagenette": str(tmp_path / "imagenette2-160"),
    }
    strange = tmp_path / "a[red]b[/x]"
    (strange / "imagenette2-160" / "train").mkdir(parents=True)
    assert onelip("list", "--data-dir", strange).exit_code == 0
    table = onelip("list").stdout
    assert all(name in table for name in DATASETS)
    assert "onelip data fetch imagenette" in table


def test_fetch_and_check(server, tmp_path, monkeypatch):
    from onelip.bench import data

    fetched = source(server, tape(FILES))
    monkeypatch.setattr(data, "DATASETS", {"cifar10": fetched})
    result = onelip("fetch", "cifar10", "--data-dir", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"CIFAR-10 is in {tmp_path / 'things'}" in result.stdout
    assert "Downloading things.tar.gz\nUnpacking things.tar.gz\n" in result.stderr
    assert unpacked(tmp_path) == FILES
    again = onelip("fetch", "cifar10", "--data-dir", tmp_path)
    assert f"{tmp_path / 'things'} is there already, and nothing was fetched" in again.stdout


def test_check_says_what_a_data_set_holds():
    facts = json.loads(onelip("check", "digits", "--json").stdout)
    assert (facts["images"], facts["classes"], facts["training images"]) == ("1 x 8 x 8", 10, 1297)
    assert facts["test images per class"] == "48 to 51"
    assert len(facts["digest"]) == 64
    assert facts["augmentation"] == "none"
    assert "training images: 1297" in onelip("check", "digits").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fetch", "digits", "--data-dir", "d"), "comes with onelip"),
        (("fetch", "cifar10"), "--data-dir says where"),
        (("fetch", "cifar", "--data-dir", "d"), "did you mean cifar10"),
        (("check", "cifar10", "--data-dir", "nowhere"), "no such folder"),
        (("check", "svhn"), "is unknown"),
    ],
)
def test_wrong_use(tmp_path, monkeypatch, arguments, message):
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    result = onelip(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []
