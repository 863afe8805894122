"""One model per published table: its rows, under our names. Imports no torch.

Each field names the column of the file as its alias, so that a file's columns are exactly those of its model. Shares
are in percent, as printed. A number that was not published is None.

Source, where no other is said: Prach, Brau, Buttazzo and Lampert, "1-Lipschitz Layers Compared: Memory, Speed, and
Certifiable Robustness", CVPR 2024, arXiv 2311.16833, and the logs in its repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from onelip.bench.origin import Model, NonNegative, Positive

DataKey = Literal["cifar10", "cifar100", "tiny_imagenet", "imagenette", "imagenet"]
Size = Literal["XS", "S", "M", "L"]

DATA_SETS: Mapping[str, tuple[DataKey, ...]] = MappingProxyType(
    {
        "CIFAR-10": ("cifar10",),
        "CIFAR-100": ("cifar100",),
        "CIFAR": ("cifar10", "cifar100"),
        "TinyImageNet": ("tiny_imagenet",),
        "Imagenette": ("imagenette",),
        "ImageNet": ("imagenet",),
    }
)
"""The keys of a data set by the name that the files print; "CIFAR" speaks of both."""

IMAGES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"cifar10": (50_000, 10_000), "cifar100": (50_000, 10_000), "tiny_imagenet": (100_000, 10_000)}
)
"""Training and test images of the data sets that the paper prints accuracies of. Of Imagenette it prints none."""


_CROP = "random crop with padding 4"

AUGMENTATIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    dict.fromkeys(
        ("cifar10", "cifar100"), (f"{_CROP} of the mean colour, mirror", rf"{_CROP} of colour [\d/]+, mirror")
    )
    | {"tiny_imagenet": ("RandAugment, 2 operations of magnitude 9",) * 2}
)
"""What was done to training images, in words, and the pattern of the words that our records have for it."""


def _keys(name: str) -> tuple[DataKey, ...]:
    if name not in DATA_SETS:
        raise ValueError(f"data set {name!r} is not one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def _key(name: str) -> DataKey:
    keys = _keys(name)
    if len(keys) > 1:
        raise ValueError(f"data set {name!r} is not one but {' and '.join(keys)}")
    return keys[0]


def _or_none(text: str) -> str | None:
    return text or None


Blank = BeforeValidator(_or_none)
"""An empty entry is None."""

MethodKey = Annotated[str, Field(min_length=1), BeforeValidator(str.lower)]
"""The method's name in our registry, where it is there: the printed name in small letters."""

Data = Annotated[DataKey, BeforeValidator(_key)]
Hours = Annotated[Literal[2, 10, 24], BeforeValidator(int)]
Kernel = Annotated[Literal[1, 3], BeforeValidator(int)]
Score = Annotated[int, Field(ge=1, le=5)]
Share = Annotated[float, Field(ge=0, le=100)]
MaybeShare = Annotated[Share | None, Blank]
MaybePositive = Annotated[Positive | None, Blank]
MaybeNumber = Annotated[NonNegative | None, Blank]
MaybeCount = Annotated[PositiveInt | None, Blank]
Source = Annotated[str, Field(min_length=1)]


class Accuracy(Model):
    """Tables 9 (CIFAR-10), 10 (CIFAR-100), 11 (Tiny ImageNet) and, with 1x1 kernels, 12: one seed each.

    Attributes:
        kernel: Side of the kernels of all blocks but the last, which has 1x1 kernels.
        hours: The budget: as many epochs as one A100-80GB does in this time.
        accuracy: Of the test images, in percent.
        cra36: Certified robust accuracy at radius 36/255, in percent.
    """

    data: Data = Field(alias="dataset")
    kernel: Kernel = Field(alias="kernel_size")
    method: MethodKey
    size: Size
    hours: Hours = Field(alias="budget_h")
    accuracy: Share = Field(alias="clean_acc_pct")
    cra36: Share = Field(alias="cra_36_255_pct")
    learning_rate: Positive = Field(alias="lr")
    weight_decay: NonNegative
    source: Source

    @property
    def collapsed(self) -> bool:
        """Whether the network always answers the same, as those whose weights became NaN: nothing is certified."""
        return self.cra36 == 0


class EpochBudget(Model):
    """Table 8: how many epochs a budget is, on one A100-80GB. None of them where the network does not fit into 80 GB.

    Attributes:
        data: The data sets that it holds for: an epoch of CIFAR-100 is as long as one of CIFAR-10.
        epochs_10h: Five times those of 2 h, and `epochs_24h` twelve times.
        seconds_per_epoch: Follows from the epochs, as do the next two.
        ms_per_batch: Milliseconds per batch of 256 images.
        images_per_second: In training.
    """

    data: Annotated[tuple[DataKey, ...], BeforeValidator(_keys)] = Field(alias="dataset")
    method: MethodKey
    size: Size
    epochs_2h: MaybeCount
    epochs_10h: MaybeCount
    epochs_24h: MaybeCount
    seconds_per_epoch: MaybePositive = Field(alias="implied_s_per_epoch")
    ms_per_batch: MaybePositive = Field(alias="implied_ms_per_batch")
    images_per_second: MaybePositive = Field(alias="implied_train_img_per_s")
    note: str
    source: Source


class Curve(Model):
    """The 24 h runs on CIFAR-10 that Table 9 prints, as logged: accuracy and four radii, in percent.

    Attributes:
        printed_accuracy: What Table 9 prints.
        printed_cra36: What Table 9 prints.
    """

    method: MethodKey
    size: Size
    accuracy: Share = Field(alias="test_acc")
    cra36: Share
    cra72: Share
    cra108: Share
    cra255: Share
    printed_accuracy: Share = Field(alias="paper_acc")
    printed_cra36: Share = Field(alias="paper_cra36")
    source: Source


class LoggedRun(Model):
    """Every 24 h run on CIFAR-10 up to size M that has a log, also those that collapsed. Shares in percent.

    Attributes:
        status: Whether it is the run that Table 9 prints, or what became of it.
        median_margin: Median of the margins of the test images, as logged.
        best_cra36: The highest certified robust accuracy of any epoch.
        nan_epoch: When its weights became NaN.
        wall_hours: What the budget of 24 h really took.
        lipschitz: What the run logged as its Lipschitz constant: an estimate.
        budgeted_images_per_second: What the budget assumed; `train_images_per_second` is what was logged.
    """

    method: MethodKey
    size: Size
    run: str = Field(alias="run_id")
    status: str = Field(alias="status_vs_paper_table9")
    epochs: PositiveInt
    learning_rate: Positive = Field(alias="lr")
    weight_decay: NonNegative
    seed: int
    accuracy: MaybeShare = Field(alias="test_acc")
    cra36: MaybeShare = Field(alias="cra_36")
    cra72: MaybeShare = Field(alias="cra_72")
    cra108: MaybeShare = Field(alias="cra_108")
    cra255: MaybeShare = Field(alias="cra_255")
    train_accuracy: MaybeShare = Field(alias="train_acc")
    train_cra36: MaybeShare
    train_cra72: MaybeShare
    train_cra108: MaybeShare
    train_cra255: MaybeShare
    median_margin: MaybeNumber = Field(alias="median_margin_test")
    best_cra36: MaybeShare = Field(alias="best_epoch_cra36")
    nan_epoch: MaybeCount
    train_images_per_second: MaybePositive = Field(alias="avg_train_img_per_s_logged")
    test_images_per_second: MaybePositive = Field(alias="avg_val_img_per_s_logged")
    wall_hours: NonNegative
    lipschitz: MaybeNumber = Field(alias="logged_lipschitz_const")
    budgeted_images_per_second: MaybePositive = Field(alias="A100_budget_implied_img_per_s")
    source: Source


class Statistics(Model):
    """The 24 h runs on CIFAR-10 in the repository's own table: also size L, and 1x1 kernels. Shares in percent.

    Attributes:
        completed: Whether the run reached its last epoch; there are no results where it did not.
        train_images_per_second: In the last epoch, as `test_images_per_second`.
    """

    method: MethodKey
    size: Size
    kernel: Kernel
    epochs: PositiveInt
    learning_rate: Positive = Field(alias="lr")
    weight_decay: NonNegative
    accuracy: MaybeShare = Field(alias="test_acc")
    cra36: MaybeShare
    cra72: MaybeShare
    cra108: MaybeShare
    cra255: MaybeShare
    median_margin: MaybeNumber
    train_images_per_second: MaybePositive = Field(alias="last_train_img_per_s")
    test_images_per_second: MaybePositive = Field(alias="last_val_img_per_s")
    completed: bool
    run: str
    source: Source


class Complexity(Model):
    """Table 1: operations of a layer on its input and on its parameters, as formulas.

    b images, s the side of the image, c channels, k the side of the kernel, t iterations; C = b s^2 c^2 k^2,
    M = b s^2 c, P = c^2 k^2.
    """

    method: MethodKey
    input_operations: str = Field(alias="input_ops")
    input_macs: str = Field(alias="input_MACs_O")
    input_memory: str = Field(alias="input_train_memory")
    parameter_operations: str = Field(alias="param_ops")
    parameter_macs: str = Field(alias="param_MACs_O")
    parameter_memory: str = Field(alias="param_train_memory_O")
    source: Source


class PosterComplexity(Model):
    """The poster's summary of Table 1: orders of a training step, bs2c2 for b s^2 c^2."""

    method: MethodKey
    operations: str = Field(alias="flops_O")
    memory: str = Field(alias="memory_O")
    source: Source


class RadarScores(Model):
    """Figure 1, read by eye: 1 (worst) to 5 (best)."""

    method: MethodKey
    robust_accuracy: Score = Field(alias="RobustAcc")
    accuracy: Score = Field(alias="Acc")
    train_time: Score = Field(alias="TrainTime")
    inference_time: Score = Field(alias="InferTime")
    train_memory: Score = Field(alias="TrainMem")
    inference_memory: Score = Field(alias="InferMem")
    source: Source


class Cited(Model):
    """Table 4: what other papers report on CIFAR-10, in percent. `params` and `method` as printed."""

    method: str
    accuracy: MaybeShare = Field(alias="clean")
    cra36: MaybeShare
    cra72: MaybeShare
    cra108: MaybeShare
    cra255: MaybeShare
    params: str
    source: Source


class StateOfTheArt(Cited):
    """Certified accuracy for the L2 norm wherever it was published, in percent, each with its source.

    `source` says where a number is second-hand or was not verified.

    Attributes:
        extra_data: "no", or which further images were trained on; with a question mark where the source does not say.
    """

    data: Data = Field(alias="dataset")
    extra_data: str
