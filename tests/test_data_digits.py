import sys

import pytest
import torch

from onelip.bench.data.digits import load_digits
from onelip.errors import DataError


def test_the_split_is_fixed() -> None:
    """A changed digest means that records of earlier runs speak of other images."""
    data = load_digits()
    assert data.digest == "d9ce27e4d58cacb46ff9d77889f0eecc00980a3050483fa580e5c4792f3d50bd"
    assert data.validation_split().digest == "f6dbab332d4d4c5466fe526a32de79af48134b315fce7a5d92be2bf601e1fe06"


def test_sizes_and_classes() -> None:
    data = load_digits()
    assert (data.image, data.classes, data.pixel_max) == ((1, 8, 8), 10, 16)
    assert (len(data.train_labels), len(data.test_labels)) == (1297, 500)
    assert data.augmentation is None
    assert data.class_names == tuple("0123456789")


def test_it_is_the_bundled_data_stratified() -> None:
    from sklearn.datasets import load_digits as load_bundle

    bundle, data = load_bundle(), load_digits()
    everything = torch.cat([data.train_images, data.test_images]).flatten(1)
    labels = torch.cat([data.train_labels, data.test_labels])
    rows = sorted([*row, label] for row, label in zip(everything.tolist(), labels.tolist(), strict=True))
    assert rows == sorted([*map(int, row), label] for row, label in zip(bundle.data, bundle.target, strict=True))
    share = data.test_labels.bincount() - labels.bincount() * 500 / 1797
    assert share.abs().max() < 1


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(DataError, match=r'digits needs scikit-learn.*pip install "onelip\[bench\]"'):
        load_digits()
