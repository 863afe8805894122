import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onelip.bench.data import DATASETS, load
from onelip.errors import DataError, UnknownNameError


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of pictures of 8x8 pixels, in the working directory."""
    folder = tmp_path / "pictures"
    for number, name in enumerate(["train/a", "train/b", "test/a", "test/b"]):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), number, dtype=np.uint8)).save(folder / name / "0.png")
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_table_holds_what_it_says() -> None:
    assert [(name, source.name, source.needs_folder) for name, source in DATASETS.items()] == [
        ("digits", "digits", False),
        ("cifar10", "cifar10", True),
        ("cifar100", "cifar100", True),
        ("tiny_imagenet", "tiny_imagenet", True),
        ("imagenette", "imagenette", True),
    ]
    assert all(source.homepage.startswith("https://") and source.title for source in DATASETS.values())


def test_sources_that_need_no_folder_load_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    for name, source in DATASETS.items():
        if source.needs_folder:
            with pytest.raises(DataError, match="--data-dir"):
                load(name)
        else:
            assert (load(name).name, load(name).title) == (source.name, source.title)


def test_a_folder_by_its_name_or_path(pictures: Path) -> None:
    digest = load(str(pictures)).digest
    for name in ("pictures", f".{os.sep}pictures", "pictures/"):
        assert load(name).digest == digest
        assert load(name).title == "pictures"


@pytest.mark.parametrize("name", ["pictures", "./pictures", "pictures@4", "./pictures@4"])
def test_the_name_loads_the_same_data_again(pictures: Path, name: str) -> None:
    data = load(name)
    assert data.name == f"./{name.removeprefix('./')}"
    assert load(data.name).digest == data.digest


def test_two_ways_to_resize(pictures: Path) -> None:
    assert load("pictures@4").image == (1, 4, 4)
    assert load("pictures", resize=4).name == "./pictures@4"
    assert load("pictures", resize=4).digest == load("pictures@4").digest
    with pytest.raises(DataError, match=r"resize: 'pictures@4' asks for a side already; .* 5"):
        load("pictures@4", resize=5)


def test_a_folder_with_an_at_sign(pictures: Path) -> None:
    pictures.rename(pictures.with_name("pictures@4"))
    assert load("pictures@4").image == (1, 8, 8)
    assert load("pictures@4@2").image == (1, 2, 2)


def test_a_folder_does_not_hide_a_data_set(pictures: Path) -> None:
    pictures.rename(pictures.with_name("digits"))
    assert load("digits").title == "Digits"
    assert load("./digits").title == "digits"


def test_named_data_sets_are_not_resized() -> None:
    for named in ({"name": "digits", "resize": 16}, {"name": "digits@16"}, {"name": "cifar100@16"}):
        with pytest.raises(DataError, match=r"resize: the images of (digits|cifar100) have one size .* to 16"):
            load(**named)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("digit", "; did you mean digits?"), ("CIFAR-10", "; did you mean cifar10?"), ("svhn", ""), ("", "")],
)
def test_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, hint: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownNameError) as error:
        load(name)
    assert str(error.value) == (
        f"data: {name!r} is unknown; valid are {', '.join(DATASETS)} and the path of a folder of pictures{hint}"
    )


def test_absent_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such folder; expected train/CLASS"):
        load(str(tmp_path / "nowhere"))
