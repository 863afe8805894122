import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onelip.bench.data import load
from onelip.bench.data.image_folder import load_image_folder
from onelip.errors import DataError

LOSSLESS = {"png": {}, "bmp": {}, "ppm": {}, "tiff": {}, "webp": {"lossless": True}}


def pixels(seed: int, side: int = 8, grey: bool = False) -> np.ndarray:
    shape = (side, side) if grey else (side, side, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, content: np.ndarray, mode: str | None = None, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(content)
    (picture if mode is None else picture.convert(mode)).save(path, **options)


def make_folder(root: Path, suffix: str = "png", grey: bool = False, **options: object) -> Path:
    """Two classes, two training pictures and one test picture each; seeds 0 to 5 in the order of loading."""
    names = ["train/cat/a", "train/cat/b", "train/dog/a", "train/dog/b", "test/cat/a", "test/dog/a"]
    for seed, name in enumerate(names):
        save(root / f"{name}.{suffix}", pixels(seed, grey=grey), **options)
    return root


def expected(seeds: range, grey: bool = False) -> torch.Tensor:
    images = torch.tensor(np.stack([pixels(seed, grey=grey) for seed in seeds]))
    return images[:, None] if grey else images.permute(0, 3, 1, 2)


@pytest.mark.parametrize(("suffix", "grey"), [*((suffix, False) for suffix in LOSSLESS), ("png", True), ("pgm", True)])
def test_reads_what_was_written(tmp_path: Path, suffix: str, grey: bool) -> None:
    data = load_image_folder(make_folder(tmp_path, suffix, grey, **LOSSLESS.get(suffix, {})))
    assert torch.equal(data.train_images, expected(range(4), grey))
    assert torch.equal(data.test_images, expected(range(4, 6), grey))
    assert data.train_labels.tolist() == [0, 0, 1, 1]
    assert data.test_labels.tolist() == [0, 1]
    assert data.class_names == ("cat", "dog")
    assert (data.pixel_max, data.augmentation) == (255, None)
    assert (data.name, data.title) == (str(tmp_path), tmp_path.name)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "gif"])
def test_reads_lossy_formats(tmp_path: Path, suffix: str) -> None:
    for seed, name in enumerate(["train/a/0", "train/b/0", "test/a/0", "test/b/0"]):
        save(tmp_path / f"{name}.{suffix}", np.full((8, 8, 3), (40 * seed, 90, 200), dtype=np.uint8))
    data = load_image_folder(tmp_path)
    colours = torch.cat([data.train_images, data.test_images])[:, :, 4, 4].int()
    wanted = torch.tensor([[40 * seed, 90, 200] for seed in range(4)])
    assert (colours - wanted).abs().max() <= 4


def test_order_is_by_name(tmp_path: Path) -> None:
    for seed, name in enumerate(["Zebra/0", "ant/10", "ant/9", "bee/0"]):
        save(tmp_path / "train" / f"{name}.png", pixels(seed))
    for name in ("bee", "ant", "Zebra"):
        save(tmp_path / "test" / name / "0.png", pixels(9))
    data = load_image_folder(tmp_path)
    assert data.class_names == ("Zebra", "ant", "bee")
    assert torch.equal(data.train_images, expected(range(4)))


def test_other_and_hidden_files_are_left_alone(tmp_path: Path) -> None:
    digest = load_image_folder(make_folder(tmp_path)).digest
    (tmp_path / "train" / "cat" / "boxes.txt").write_text("0 0 1 1")
    (tmp_path / "train" / "cat" / "._a.png").write_bytes(b"")
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "notes").mkdir()
    assert load_image_folder(tmp_path).digest == digest


def test_a_grey_picture_among_colours_has_three_equal_channels(tmp_path: Path) -> None:
    save(make_folder(tmp_path) / "train" / "cat" / "b.png", pixels(1, grey=True))
    data = load_image_folder(tmp_path)
    assert data.image == (3, 8, 8)
    assert torch.equal(data.train_images[1], torch.tensor(pixels(1, grey=True)).expand(3, 8, 8))
    assert torch.equal(data.train_images[2], expected(range(2, 3))[0])


@pytest.mark.parametrize("mode", ["RGBA", "P", "1", "LA"])
def test_other_pixel_types(tmp_path: Path, mode: str) -> None:
    content = np.full((8, 8, 3), 255, dtype=np.uint8)
    content[2:5, 2:5] = 0
    save(make_folder(tmp_path) / "train" / "cat" / "a.png", content, mode)
    assert torch.equal(load_image_folder(tmp_path).train_images[0], torch.tensor(content).permute(2, 0, 1))


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    content = np.full((8, 8, 3), (10, 20, 30), dtype=np.uint8)
    save(make_folder(tmp_path) / "train" / "cat" / "a.png", content, "P", transparency=b"\x00\x80")
    colour = Image.open(tmp_path / "train" / "cat" / "a.png").convert("RGBA").getpixel((0, 0))
    assert load_image_folder(tmp_path).train_images[0, :, 0, 0].tolist() == list(colour[:3])


def test_deep_pictures_are_refused(tmp_path: Path) -> None:
    save(make_folder(tmp_path) / "test" / "dog" / "a.png", pixels(0, grey=True).astype(np.uint16) * 256)
    with pytest.raises(DataError, match=r"test/dog/a\.png: cannot be read; expected .* 8 bits per channel .*I;16"):
        load_image_folder(tmp_path)


def test_one_size_is_needed(tmp_path: Path) -> None:
    save(make_folder(tmp_path) / "test" / "cat" / "a.png", pixels(0, side=9))
    with pytest.raises(DataError, match=r"test/cat/a\.png: 9x9 pixels where .*train/cat/a\.png has 8x8.*@32"):
        load_image_folder(tmp_path)


def test_resize_gives_squares_of_the_centre(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (8, 1))
    save(make_folder(tmp_path, grey=True) / "train" / "cat" / "a.png", ramp)
    data = load_image_folder(tmp_path, resize=4)
    assert (data.image, data.name) == ((1, 4, 4), f"{tmp_path}@4")
    assert (data.train_images[0].int() - torch.tensor([85, 105, 125, 145])).abs().max() <= 1


def test_resize_to_the_same_side_changes_nothing(tmp_path: Path) -> None:
    make_folder(tmp_path)
    assert load_image_folder(tmp_path, resize=8).digest == load_image_folder(tmp_path).digest


def test_resize_must_be_positive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"resize: .* 1 to 4096 pixels, not 0"):
        load_image_folder(make_folder(tmp_path), resize=0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "gif", "webp", "ppm"])
def test_a_cut_picture_names_itself(tmp_path: Path, suffix: str) -> None:
    path = make_folder(tmp_path, suffix) / "train" / "dog" / f"b.{suffix}"
    content = path.read_bytes()
    for length in (0, 1, 10, 40, len(content) // 2, len(content) * 3 // 4):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=rf"train/dog/b\.{suffix}: cannot be read; expected a whole picture"):
            load_image_folder(tmp_path)


def test_a_damaged_picture_names_itself(tmp_path: Path) -> None:
    path = make_folder(tmp_path) / "train" / "dog" / "b.png"
    content = bytearray(path.read_bytes())
    struct.pack_into(">I", content, content.index(b"IDAT") - 4, 20)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train/dog/b\.png: cannot be read; .*broken PNG"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("form", ["SGI", "EPS", "TGA"])
def test_unusual_formats_are_refused(tmp_path: Path, form: str) -> None:
    """Pillow would start another program for some of them."""
    save(make_folder(tmp_path) / "train" / "dog" / "b.png", pixels(0), format=form)
    with pytest.raises(DataError, match=r"train/dog/b\.png: cannot be read; .*cannot identify"):
        load_image_folder(tmp_path)


def test_a_picture_that_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    path = make_folder(tmp_path, "bmp") / "train" / "dog" / "b.bmp"
    content = bytearray(path.read_bytes())
    struct.pack_into("<ii", content, 18, 100_000, 100_000)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"train/dog/b\.bmp: cannot be read; .*exceeds limit"):
        load_image_folder(tmp_path)


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such folder; expected train/CLASS/\*\.png and test/CLASS/"):
        load_image_folder(tmp_path / "nowhere")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folder train/, only: none; expected train/CLASS"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize(("split", "found"), [("train", "renamed, test"), ("test", "renamed, train")])
def test_missing_split(tmp_path: Path, split: str, found: str) -> None:
    (make_folder(tmp_path) / split).rename(tmp_path / "renamed")
    with pytest.raises(DataError, match=f"has no folder {split}/, only: {found}; expected train/CLASS"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_class_in_one_split_only(tmp_path: Path, split: str, other: str) -> None:
    save(make_folder(tmp_path) / split / "eel" / "a.png", pixels(0))
    with pytest.raises(DataError, match=rf"{split}/eel: this class has no folder in {other}/"):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_class_without_pictures(tmp_path: Path, split: str) -> None:
    for path in (make_folder(tmp_path) / split / "dog").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DataError, match=rf"{split}/dog: holds no picture; expected files ending in .*\.png"):
        load_image_folder(tmp_path)


def test_one_class_is_too_few(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / split / "cat" / "a.png", pixels(0))
    with pytest.raises(DataError, match="train: holds 1 class folders; at least 2"):
        load_image_folder(tmp_path)


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r'needs Pillow.*pip install "onelip\[bench\]"'):
        load_image_folder(tmp_path)


def test_a_folder_has_one_name_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    spellings = ("pets", "./pets", "pets/", str(tmp_path / "pets"), "pets/../pets")
    assert {load(spelling).name for spelling in spellings} == {"./pets"}
    assert load("./pets", resize=4).name == "./pets@4"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load("../pets").name == str(tmp_path / "pets")
