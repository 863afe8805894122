"""Scikit-learn's digits: 1,797 handwritten digits of 8x8 pixels with 17 grey levels, shipped with that package.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import torch

from onelip.bench.data.base import ImageData, hold_out, missing_package
from onelip.bench.data.source import Content, DataSource

TEST_IMAGES = 500


def load_digits() -> ImageData:
    """The digits, split once and for all into 1,297 training and 500 test images, stratified by class.

    Raises:
        DataError: Scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load_bundle
    except ImportError as error:
        raise missing_package("scikit-learn", "The data set digits") from error
    bundle = load_bundle()
    images = torch.as_tensor(bundle.images).to(torch.uint8).unsqueeze(1)
    labels = torch.as_tensor(bundle.target).to(torch.int64)
    train, test = hold_out(labels, TEST_IMAGES, salt="digits")
    return ImageData(
        name=DIGITS.name,
        title=DIGITS.title,
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=tuple(str(name) for name in bundle.target_names),
        pixel_max=16,
    )


DIGITS = DataSource(
    name="digits",
    title="Digits",
    loader=lambda *_, **__: load_digits(),
    needs_folder=False,
    content=Content(image=(1, 8, 8), classes=10, train=1_297, test=TEST_IMAGES),
    homepage="https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
)
