import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelip.bench.data import CropAndFlip, ImageData
from onelip.bench.data.base import hold_out
from onelip.errors import DataError


def make_data(train: int = 60, test: int = 6, **changes: object) -> ImageData:
    """Images whose first pixel is their position, so that a mixed-up split is seen."""
    images = torch.zeros(train + test, 2, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(train + test)
    labels = torch.arange(train + test) % 3
    fields = {
        "name": "tiny",
        "title": "Tiny",
        "train_images": images[:train],
        "train_labels": labels[:train],
        "test_images": images[train:],
        "test_labels": labels[train:],
        "class_names": ("a", "b", "c"),
    }
    return ImageData(**{**fields, **changes})


def positions(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


@settings(max_examples=60, deadline=None)
@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=120), share=st.floats(0, 1))
def test_hold_out_is_a_stratified_partition(labels: list[int], share: float) -> None:
    count = round(share * len(labels))
    kept, held = hold_out(torch.tensor(labels), count, salt="any")
    assert len(held) == count
    assert sorted(kept.tolist() + held.tolist()) == list(range(len(labels)))
    assert kept.tolist() == sorted(kept.tolist())
    assert held.tolist() == sorted(held.tolist())
    for label in set(labels):
        share_of_class = labels.count(label) * count / len(labels)
        assert abs(sum(labels[i] == label for i in held.tolist()) - share_of_class) < 1


def test_hold_out_rounds_where_least_is_lost() -> None:
    labels = torch.tensor([2] * 7 + [1] * 2 + [0])
    assert labels[hold_out(labels, 4, salt="any")[1]].bincount().tolist() == [0, 1, 3], "of 0.4, 0.8 and 2.8"


def test_hold_out_is_the_same_everywhere() -> None:
    labels = torch.arange(40) % 2
    assert hold_out(labels, 6, salt="salt")[1].tolist() == [1, 13, 20, 26, 27, 28]
    assert hold_out(labels, 6, salt="other")[1].tolist() != [1, 13, 20, 26, 27, 28]


def test_validation_split_divides_the_training_images() -> None:
    data = make_data()
    split = data.validation_split()
    assert (len(split.train_labels), len(split.test_labels)) == (54, 6)
    assert sorted(positions(split.train_images) + positions(split.test_images)) == list(range(60))
    assert torch.equal(torch.tensor(positions(split.train_images)) % 3, split.train_labels)
    assert torch.equal(torch.tensor(positions(split.test_images)) % 3, split.test_labels)
    assert split.test_labels.bincount().tolist() == [2, 2, 2]


def test_validation_split_ignores_random_state() -> None:
    torch.manual_seed(1)
    first = make_data().validation_split()
    torch.manual_seed(2)
    assert make_data().validation_split().digest == first.digest


def test_validation_split_keeps_the_name_and_changes_the_digest() -> None:
    data = make_data(augmentation=CropAndFlip(4, flip=True))
    split = data.validation_split()
    assert (split.name, split.class_names, split.augmentation) == ("tiny", ("a", "b", "c"), data.augmentation)
    assert split.digest != data.digest


def test_validation_split_needs_ten_images() -> None:
    assert len(make_data(train=10).validation_split().test_labels) == 1
    with pytest.raises(DataError, match="tiny: a validation split needs 10 training images, not 9"):
        make_data(train=9).validation_split()


def test_digest_follows_the_content_only() -> None:
    data = make_data()
    assert make_data(name="other", title="Other").digest == data.digest
    pixel, label = data.train_images.clone(), data.test_labels.clone()
    pixel[7, 1, 2, 3] += 1
    label[0] = (label[0] + 1) % 3
    changed = [
        make_data(train_images=pixel),
        make_data(test_labels=label),
        make_data(class_names=("a", "b", "d")),
        make_data(pixel_max=254),
        make_data(train_images=data.train_images.transpose(2, 3)),
        make_data(train_images=data.train_images.flip(0)),
    ]
    assert len({data.digest, *(other.digest for other in changed[:4]), changed[5].digest}) == 6
    assert changed[4].digest == data.digest, "the images are symmetric: only the memory layout differs"


def test_mean_is_that_of_the_training_images() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 17, (60, 2, 4, 4), generator=generator, dtype=torch.uint8)
    data = make_data(train_images=images, test_images=make_data().test_images * 0, pixel_max=16)
    expected = (images.double() / 16).mean((0, 2, 3))
    assert data.mean == pytest.approx(expected.tolist(), rel=1e-14)
    assert data.to_float(images).dtype == torch.float32
    assert data.to_float(images).mean((0, 2, 3)).tolist() == pytest.approx(data.mean, rel=1e-5)
    assert data.to_float(torch.tensor([0, 8, 16], dtype=torch.uint8)).tolist() == [0.0, 0.5, 1.0]


def test_info_says_what_the_data_are() -> None:
    data = make_data()
    assert data.info().model_dump() == {
        "name": "tiny",
        "title": "Tiny",
        "digest": data.digest,
        "image": (2, 4, 4),
        "classes": 3,
        "train": 60,
        "test": 6,
        "augmentation": "",
    }
    augmented = make_data(augmentation=CropAndFlip(2, flip=True))
    assert augmented.info() == data.info().model_copy(update={"augmentation": "random crop with padding 2, mirror"})
    assert (data.image, data.classes) == ((2, 4, 4), 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": torch.zeros(60, 2, 4, 4)}, r"train images must be uint8 .*found torch.float32"),
        ({"train_images": torch.zeros(60, 2, 4, dtype=torch.uint8)}, r"train images must be uint8 \(N, C, H, W\)"),
        ({"test_images": torch.zeros(0, 2, 4, 4, dtype=torch.uint8)}, r"test images .*\(0, 2, 4, 4\)"),
        ({"test_images": torch.zeros(6, 2, 4, 5, dtype=torch.uint8)}, r"one shape, not \(2, 4, 4\) and \(2, 4, 5\)"),
        ({"train_labels": torch.zeros(59, dtype=torch.int64)}, r"train labels must be int64 \(60,\)"),
        ({"train_labels": torch.zeros(60)}, r"train labels must be int64 .*torch.float32"),
        ({"test_labels": torch.full((6,), 3)}, "test labels must lie between 0 and 2; found 3 to 3"),
        ({"test_labels": torch.full((6,), -1)}, "test labels must lie between 0 and 2; found -1 to -1"),
        ({"pixel_max": 16}, "train pixels must be at most 16; found 59"),
    ],
)
def test_inconsistent_data_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make_data(**changes)


def test_data_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_data().pixel_max = 1
