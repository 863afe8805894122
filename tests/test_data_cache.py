"""Decoded pictures are kept in a file, which is made anew where the pictures change, and is whole or not there."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onelip.bench.data import cache, load
from onelip.bench.data.cache import load_pictures
from onelip.bench.data.pictures import PictureFiles, untracked
from onelip.errors import DataError

SIDE = 8


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def files(tmp_path, monkeypatch) -> PictureFiles:
    """Five pictures, which are many, and a cache of their own."""
    monkeypatch.setattr(cache, "SMALL", 0)
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    root = tmp_path / "pictures"
    root.mkdir()
    for seed in range(5):
        Image.fromarray(pixels(seed)).save(root / f"{seed}.png")
    return PictureFiles(title="five pictures", root=root, paths=sorted(root.glob("*.png")))


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """How many pictures each reading decoded."""
    counts = []

    def track(pictures, _title, count):
        counts.append(count)
        return pictures

    monkeypatch.setattr(
        PictureFiles, "read", lambda self, channels, _: track(self._decoded(channels), "", len(self.paths))
    )
    return counts


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").iterdir() if path.is_file()]


def expected() -> torch.Tensor:
    return torch.tensor(np.stack([pixels(seed) for seed in range(5)])).permute(0, 3, 1, 2)


def test_they_are_decoded_once(files, decoded, tmp_path):
    assert torch.equal(load_pictures(files, untracked), expected())
    assert torch.equal(load_pictures(files, untracked), expected())
    assert decoded == [5]
    (file,) = kept(tmp_path)
    assert file.stat().st_size < 5 * 3 * SIDE * SIDE + 1000


def test_few_are_decoded_anew_and_not_kept(files, decoded, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "SMALL", 2**22)
    for _ in range(2):
        assert torch.equal(load_pictures(files, untracked), expected())
    assert decoded == [5, 5]
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("change", ["content", "time", "name", "fewer", "places"])
def test_another_picture_has_all_of_them_decoded_anew(files, decoded, tmp_path, change):
    load_pictures(files, untracked)
    (before,) = kept(tmp_path)
    path = files.paths[2]
    if change == "content":
        Image.fromarray(pixels(9)).save(path)
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "places":
        for name in files.paths:
            os.utime(name, ns=(7, 7))
        load_pictures(files, untracked)
        decoded.clear()
        decoded.append(5)
        other = files.paths[0]
        sizes = [one.stat().st_size for one in (path, other)]
        path.rename(path.with_suffix(".old"))
        other.rename(path)
        path.with_suffix(".old").rename(other)
        (before,) = kept(tmp_path)
        assert [one.stat().st_mtime_ns for one in (path, other)] == [7, 7]
        assert sorted(one.stat().st_size for one in (path, other)) == sorted(sizes)
    elif change == "name":
        path.rename(path.with_name("2b.png"))
    else:
        path.unlink()
    now = PictureFiles(title="", root=files.root, paths=sorted(files.root.glob("*.png")))
    found = load_pictures(now, untracked)
    assert decoded == [5, len(now.paths)]
    if change == "content":
        assert torch.equal(found[2], torch.tensor(pixels(9)).permute(2, 0, 1))
    if change == "places":
        assert torch.equal(found[2], torch.tensor(pixels(0)).permute(2, 0, 1))
    (after,) = kept(tmp_path)
    assert after != before, "the old file is removed"


def test_another_side_is_kept_beside(files, decoded, tmp_path):
    smaller = PictureFiles(title="", root=files.root, paths=files.paths, side=4)
    for _ in range(2):
        assert load_pictures(files, untracked).shape == (5, 3, 8, 8)
        assert load_pictures(smaller, untracked).shape == (5, 3, 4, 4)
    assert decoded == [5, 5]
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_cut_file_is_made_anew(files, decoded, tmp_path, length):
    load_pictures(files, untracked)
    (file,) = kept(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[:length])
    assert torch.equal(load_pictures(files, untracked), expected())
    assert decoded == [5, 5]
    assert file.read_bytes() == content


def test_what_is_changed_in_memory_is_not_changed_on_the_disk(files):
    load_pictures(files, untracked).zero_()
    assert torch.equal(load_pictures(files, untracked), expected())


def test_a_full_disk_is_an_error_that_leaves_nothing(files, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot write 0\.0 MB .*No space left.*name another folder .*ONELIP_CACHE"):
        load_pictures(files, untracked)
    assert kept(tmp_path) == []


def test_a_picture_that_is_cut_leaves_nothing(files, tmp_path):
    files.paths[3].write_bytes(files.paths[3].read_bytes()[:60])
    with pytest.raises(DataError, match=r"3\.png: cannot be read"):
        load_pictures(PictureFiles(title="", root=files.root, paths=files.paths, side=4, channels=3), untracked)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ONELIP_CACHE": "/chosen", "XDG_CACHE_HOME": "/x"}, "/chosen"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/onelip"),
        ({"HOME": "/home/me"}, "/home/me/.cache/onelip"),
    ],
)
def test_the_folder_is_the_users_choice(monkeypatch, variables, folder):
    for name in ("ONELIP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folder() == Path(folder)


def test_another_decoder_reads_anew(files, decoded, monkeypatch):
    import PIL

    load_pictures(files, untracked)
    monkeypatch.setattr(PIL, "__version__", "0.0")
    load_pictures(files, untracked)
    assert decoded == [5, 5]


def test_two_writers_do_not_meet(files, tmp_path, monkeypatch):
    """Also where both are the same process, as in two containers that share a folder."""
    names = []
    monkeypatch.setattr(cache.os, "fsync", lambda _: names.extend((tmp_path / "cache").glob(".*.tmp")))
    for _ in range(2):
        load_pictures(files, untracked)
        kept(tmp_path)[0].unlink()
    assert len(set(names)) == 2


def test_what_a_killed_process_left_is_removed_after_a_while(files, tmp_path):
    load_pictures(files, untracked)
    (file,) = kept(tmp_path)
    left, young = (file.with_name(f".{file.name}.{name}.tmp") for name in ("left", "young"))
    for path in (left, young):
        path.write_bytes(b"half")
    os.utime(left, (1, 1))
    file.unlink()
    load_pictures(files, untracked)
    assert sorted(kept(tmp_path)) == sorted([file, young])


def test_no_home_is_an_error_that_says_so(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("ONELIP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.Path, "home", homeless)
    with pytest.raises(DataError, match=r"no home folder .* ONELIP_CACHE"):
        cache.cache_folder()
    monkeypatch.setenv("ONELIP_CACHE", "/chosen")
    assert cache.cache_folder() == Path("/chosen")


def test_progress_counts_every_picture(files):
    seen = []

    def track(pictures, title, count):
        seen.append((title, count))
        for picture in pictures:
            seen.append(picture.shape)
            yield picture

    load_pictures(files, track)
    assert seen == [("Reading five pictures", 5)] + [(3, SIDE, SIDE)] * 5


def test_a_folder_of_pictures_is_kept_too(files, decoded, tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/b"):
        folder = tmp_path / "sorted" / name
        folder.mkdir(parents=True)
        Image.fromarray(pixels(len(name))).save(folder / "0.png")
    first, again = (load(str(tmp_path / "sorted")) for _ in range(2))
    assert first.digest == again.digest
    assert decoded == [4]
