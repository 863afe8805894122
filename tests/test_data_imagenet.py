"""Tiny ImageNet and Imagenette, as distributed: tiny folders in their layouts, and what is wrong with others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from onelip.bench.data import DATASETS, CropAndFlip, RandAugment, load
from onelip.bench.data.imagenette import CLASSES, FOLDERS
from onelip.bench.data.source import Content, part_of
from onelip.errors import DataError

WNIDS = ["n03", "n01", "n02"]
"""As in the file, which is not in order."""


def save(path: Path, seed: int, size: tuple[int, int] = (64, 64), grey: bool = False) -> None:
    """A picture of one colour, or one grey, which JPEG keeps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = np.array([20 * seed, 100, 250 - 20 * seed], dtype=np.uint8)
    content = np.full(size[::-1], 20 * seed, np.uint8) if grey else np.broadcast_to(colour, (*size[::-1], 3))
    Image.fromarray(np.ascontiguousarray(content)).save(path, quality=100, subsampling=0)


def tiny(root: Path) -> Path:
    folder = root / "tiny-imagenet-200"
    for label, wnid in enumerate(sorted(WNIDS)):
        for number in range(2):
            save(folder / "train" / wnid / "images" / f"{wnid}_{number}.JPEG", 2 * label + number, grey=label == 1)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("not read")
    lines = [f"val_{number}.JPEG\t{wnid}\t0\t0\t9\t9\n" for number, wnid in enumerate(["n02", "n03", "n01", "n02"])]
    for number in range(4):
        save(folder / "val" / "images" / f"val_{number}.JPEG", 6 + number)
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (folder / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn02\ttoad\nn03\tcat\nn09\tnobody\n")
    return folder


def imagenette(root: Path, name: str = "imagenette2-160") -> Path:
    for label, wnid in enumerate(CLASSES):
        save(root / name / "train" / wnid / "a.JPEG", label, (40, 30))
        save(root / name / "val" / wnid / "b.JPEG", label, (30, 40), grey=label % 2 == 1)
    return root / name


def colours(images: torch.Tensor) -> list[int]:
    """Which seed every picture was saved with."""
    assert (images.float().std((2, 3)) < 2).all()
    return (images[:, 0].float().mean((1, 2)) / 20).round().int().tolist()


def test_tiny_imagenet_is_read_as_distributed(tmp_path):
    tiny(tmp_path)
    data = load("tiny_imagenet", tmp_path)
    assert (data.image, data.classes, data.class_names) == ((3, 64, 64), 3, ("goldfish", "toad", "cat"))
    assert (data.train_labels.tolist(), colours(data.train_images)) == ([0, 0, 1, 1, 2, 2], [0, 1, 2, 3, 4, 5])
    assert (data.test_labels.tolist(), colours(data.test_images)) == ([1, 2, 0, 1], [6, 7, 8, 9])
    assert torch.equal(data.train_images[2, 0], data.train_images[2, 2]), "grey in three channels"
    assert not torch.equal(data.train_images[0, 0], data.train_images[0, 2])
    assert (data.name, data.pixel_max) == ("tiny_imagenet", 255)
    assert data.augmentation == RandAugment(operations=2, magnitude=9)
    assert data.title == "Tiny ImageNet (6 of 100,000 and 4 of 10,000 images)"


def test_imagenette_is_cut_to_squares(tmp_path):
    data = load("imagenette@32", imagenette(tmp_path))
    assert (data.image, data.classes, data.class_names[0]) == ((3, 32, 32), 10, "tench")
    assert data.train_labels.tolist() == data.test_labels.tolist() == list(range(10))
    assert colours(data.train_images) == colours(data.test_images) == list(range(10))
    assert (data.name, data.augmentation) == ("imagenette@32", CropAndFlip(4, flip=True))
    assert load("imagenette", tmp_path).image == (3, 256, 256)


@pytest.mark.parametrize("make", [tiny, imagenette])
def test_sides(tmp_path, make):
    folder = make(tmp_path)
    name = "tiny_imagenet" if make is tiny else "imagenette"
    default = load(name, tmp_path).image[1]
    assert load(name, folder, resize=16).image == (3, 16, 16)
    assert load(name, folder, resize=16).name == f"{name}@16"
    assert load(f"{name}@{default}", folder).name == name, "one name for the same images"
    with pytest.raises(DataError, match="1 to 4096 pixels, not 0"):
        load(f"{name}@0", folder)
    with pytest.raises(DataError, match="asks for a side already"):
        load(f"{name}@16", folder, resize=8)


def test_of_several_the_largest_pictures_are_taken(tmp_path):
    for name in FOLDERS[1:]:
        imagenette(tmp_path, name)
    save(tmp_path / FOLDERS[1] / "train" / "n01440764" / "more.JPEG", 0)
    assert len(load("imagenette@8", tmp_path).train_labels) == 11
    assert len(load("imagenette@8", tmp_path / FOLDERS[2]).train_labels) == 10, "as named"


@pytest.mark.parametrize("name", ["tiny_imagenet", "imagenette"])
def test_where_nothing_is_there(tmp_path, monkeypatch, name):
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    for folder in (None, tmp_path / "nowhere", tmp_path):
        with pytest.raises(DataError, match=r"Get .*https?://.*, unpack it, and name its folder by --data-dir"):
            load(name, folder)


@pytest.mark.parametrize("lost", ["wnids.txt", "words.txt", "val/val_annotations.txt", "val/images/val_2.JPEG"])
def test_a_lost_file_names_itself(tmp_path, lost):
    folder = tiny(tmp_path)
    (folder / lost).unlink()
    with pytest.raises(DataError, match=rf"{lost}.*(cannot be read|is missing).*Get http"):
        load("tiny_imagenet", folder)


@pytest.mark.parametrize(
    ("listing", "message"),
    [
        ("val_0.JPEG n01\n", "is not a picture and a class"),
        ("val_0.JPEG\tn77\n", "is not a picture and a class"),
        ("../../wnids.txt\tn01\n", "is not a picture and a class"),
        ("\n", "lists no picture"),
    ],
)
def test_a_listing_of_another_kind(tmp_path, listing, message):
    folder = tiny(tmp_path)
    (folder / "val" / "val_annotations.txt").write_text(listing)
    with pytest.raises(DataError, match=message):
        load("tiny_imagenet", folder)


@pytest.mark.parametrize("lost", ["train/n03000684", "val/n03888257"])
def test_a_lost_class_names_itself(tmp_path, lost):
    folder = imagenette(tmp_path)
    (folder / lost).rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=rf"{lost}: no such folder\. Get imagenette2"):
        load("imagenette", folder)


def test_a_class_without_training_pictures(tmp_path):
    folder = tiny(tmp_path)
    for path in (folder / "train" / "n02" / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"n02.images: holds no picture"):
        load("tiny_imagenet", folder)


def test_pictures_of_another_size_are_in_the_title(tmp_path):
    folder = tiny(tmp_path)
    for path in folder.rglob("*.JPEG"):
        save(path, 1, (32, 32))
    assert load("tiny_imagenet", folder).title.startswith("Tiny ImageNet of 32x32 pixels (6 of 100,000")


def test_a_file_in_place_of_a_folder(tmp_path):
    folder = tiny(tmp_path)
    images = folder / "train" / "n02" / "images"
    images.rename(tmp_path / "elsewhere")
    images.write_text("a file")
    with pytest.raises(DataError, match=r"images: cannot be looked into \(Not a directory\)"):
        load("tiny_imagenet", folder)


def test_a_whole_data_set_is_not_called_a_part():
    whole = Content(image=(1, 8, 8), classes=2, train=5, test=3)
    assert part_of("Digits", 5, 3, whole) == "Digits"
    assert part_of("Digits", 5, 2, whole) == "Digits (5 of 5 and 2 of 3 images)"


def test_a_name_loads_the_same_images_again(tmp_path):
    imagenette(tmp_path)
    for name in ("imagenette", "imagenette@16"):
        data = load(name, tmp_path)
        assert load(data.name, tmp_path).digest == data.digest


def test_what_can_be_resized_says_so():
    assert {name for name, source in DATASETS.items() if source.resizable} == {"tiny_imagenet", "imagenette"}


def test_what_is_known_before_reading_is_what_is_read():
    content, data = DATASETS["digits"].content, load("digits")
    assert content == Content(
        image=data.image, classes=data.classes, train=len(data.train_labels), test=len(data.test_labels)
    )
    for name, folder in (("tiny_imagenet", 200), ("imagenette", len(CLASSES))):
        assert DATASETS[name].content.classes == folder
