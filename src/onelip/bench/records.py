"""The typed records of the comparison: what a run was asked to do, and what came out. Imports no torch.

A record is one JSON file. It carries everything that a report needs, titles and units included, so that tables and
figures are a pure function of the records and can be rebuilt on a machine without torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, NonNegativeInt, PositiveInt

from onelip.bench.origin import DataInfo, Machine, MethodInfo, Model, NonNegative, Positive
from onelip.bench.train.plan import Planned

SCHEMA: Literal[2] = 2
HARNESS_REVISION = 2
"""Raised when the training or measuring code changes results; records of another revision are listed as stale."""

CURVE_STEPS = 512
"""Certified radii are counted at k/255 for k = 0 .. CURVE_STEPS."""

Status = Literal["ok", "diverged", "oom", "timeout", "error", "pruned"]
ENDED: tuple[Status, ...] = ("ok", "diverged", "timeout", "pruned")
"""How a training ends by itself: nothing would be won by going on from its checkpoint, or by trying again."""

PaddingChoice = Literal["paper", "circular", "zeros"]
KernelSize = Literal[1, 3, 5]


class Recipe(Model):
    """How a network is trained; shared by every cell of a comparison, except for the learning rate and weight decay.

    Attributes:
        learning_rate: Peak learning rate of the one-cycle schedule.
        weight_decay: L2 penalty on every parameter.
        batch_size: Images per step.
        momentum: (lowest, highest) momentum of the cycle; the highest stands at the lowest learning rate.
        margin: Margin m of the loss, in logits: 2 sqrt(2) 36/255 in the paper.
        temperature: Temperature tau of the loss.
        warmup: Share of the steps in which the learning rate rises.
        augment: Whether the data set's own augmentation is applied.
    """

    learning_rate: Positive = 0.1
    weight_decay: NonNegative = 1e-5
    batch_size: PositiveInt = 256
    momentum: tuple[NonNegative, NonNegative] = (0.85, 0.95)
    margin: NonNegative = 2 * 2**0.5 * 36 / 255
    temperature: Positive = 0.25
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.3
    augment: bool = True


class Cell(Model):
    """One cell of the comparison: everything that determines a training run.

    Attributes:
        kernel_size: Of all blocks but the last, which has 1x1 kernels.
        evaluate_on: "test": train on all training images, evaluate on the test images; "validation": train on nine
            tenths of the training images and evaluate on the fixed held-out tenth (used to choose a learning rate).
    """

    method: str
    revision: PositiveInt
    model: Literal["convnet"] = "convnet"
    size: str
    width: PositiveInt
    kernel_size: KernelSize = 3
    data: str
    padding: PaddingChoice
    budget: str
    recipe: Recipe
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    evaluate_on: Literal["test", "validation"] = "test"

    @property
    def id(self) -> str:
        """A readable and unique name for files: the method, the main facts, and ten digits of a digest of it all."""
        # Names from before networks had other kernels stay what they are.
        usual = {"kernel_size"} if self.kernel_size == 3 else set()
        content = json.dumps(self.model_dump(mode="json", exclude=usual), sort_keys=True).encode()
        digest = hashlib.sha256(content).hexdigest()[:10]
        where = "" if self.evaluate_on == "test" else "-validation"
        data = "".join(c if c.isalnum() else "_" for c in self.data)[-24:]
        return f"{self.method}-{self.size}-{data}-{self.budget}-s{self.seed}{where}-{digest}"


class Started(Model):
    """A run as it was begun; written before the training, and what a resumed one must have in common with it.

    Attributes:
        images: Digest of the data set.
        augmentation: What is done to its images, in words.
        beside: Whether another process was seen to use the same machine and device since.
        started: When it was begun.
    """

    schema_version: Literal[2] = SCHEMA
    harness: int = HARNESS_REVISION
    cell: Cell
    method: MethodInfo
    images: str = ""
    augmentation: str = ""
    machine: Machine
    beside: bool = False
    started: str


class Epoch(Model):
    """Progress at the end of one epoch (or at the run's end): means over the training images of that epoch.

    `nominal_cra36` is the certified accuracy at 36/255 if every layer were exactly 1-Lipschitz: for watching only.
    """

    epoch: NonNegativeInt
    step: NonNegativeInt
    seconds: NonNegative
    learning_rate: NonNegative
    loss: FiniteFloat
    accuracy: NonNegative
    nominal_cra36: NonNegative
    images_per_second: NonNegative


class Evaluation(Model):
    """What a trained network achieves on the evaluation images.

    Attributes:
        images: Number of images.
        largest_class: Number of images of the most frequent class: what a constant answer gets right, at any radius.
        correct: Number classified correctly.
        loss: Mean of the recipe's loss; 1e300 where it is not finite.
        certified: `certified[k]` is the number of images that are correct with a certified radius > k/255.
        lipschitz: The proved upper bound of the network's Lipschitz constant.
        arithmetic: What the radii speak of; "float64": the network evaluated in float64, with its rounding paid for;
            "executed": the same of its certified program of float32; "real": rounding is not paid for.
        seconds: Time of evaluation and bound.
    """

    images: PositiveInt
    largest_class: PositiveInt
    correct: NonNegativeInt
    loss: FiniteFloat
    certified: tuple[NonNegativeInt, ...]
    lipschitz: Positive
    arithmetic: Literal["float64", "executed", "real"] = "real"
    seconds: NonNegative


def impossible_counts(evaluation: Evaluation) -> Iterator[str]:
    """What contradicts itself in the counts of an evaluation."""
    counts = (evaluation.images, evaluation.correct, *evaluation.certified)
    if len(evaluation.certified) != CURVE_STEPS + 1:
        yield f"evaluation.certified has {len(evaluation.certified)} counts; {CURVE_STEPS + 1} are expected"
    if any(later > earlier for earlier, later in pairwise(counts)):
        yield "evaluation: images >= correct >= certified[0] >= certified[1] >= ... does not hold"


class TrainRecord(Model):
    """The result of training one cell, also when it failed.

    Attributes:
        seconds: Wall-clock time that the budget counts: calibration, construction, steps, progress and checkpoints.
        planned_steps: Steps that the schedule was fitted to in the end; `steps` is what was taken.
        plans: Every plan that was made: the first one before the first step, another one wherever the projected end
            left 95 to 100 % of the budget. With `steps` they say how to train the same weights again.
        replayed: Whether the plans are those of another run, followed without looking at a clock.
        beside: Whether, with a budget in time, another process of the comparison used the same machine and device
            meanwhile: fewer steps were taken then.
        schedule_progress: How far the schedule came: 1 unless the time was up before.
        message: Why the status is not "ok".
    """

    kind: Literal["train"] = "train"
    schema_version: int = SCHEMA
    harness: int = HARNESS_REVISION
    cell: Cell
    method: MethodInfo
    data: DataInfo
    machine: Machine
    status: Status
    message: str = ""
    started: str
    seconds: NonNegative
    budget_seconds: float | None
    planned_steps: NonNegativeInt
    steps: NonNegativeInt
    plans: tuple[Planned, ...] = ()
    replayed: bool = False
    beside: bool = False
    schedule_progress: Annotated[float, Field(ge=0, le=1)]
    parameters: NonNegativeInt
    history: tuple[Epoch, ...]
    evaluation: Evaluation | None


class Costs(Model):
    """Costs of one network with one padding, raw samples in seconds and bytes.

    Attributes:
        train_step: Seconds per training step (forward, loss, backward, optimiser) on one batch.
        inference: Seconds per forward pass of one batch in eval mode, weights already constructed where they are kept.
        latency: Seconds per forward pass of a single image, weights as for inference.
        train_bytes: Peak memory of a training step: parameters, gradients, optimiser state, activations.
        inference_bytes: Peak memory of a batch's inference, weights as for inference.
    """

    padding: Literal["circular", "zeros"]
    status: Status
    message: str = ""
    train_step: tuple[Positive, ...] = ()
    inference: tuple[Positive, ...] = ()
    latency: tuple[Positive, ...] = ()
    train_bytes: NonNegativeInt = 0
    inference_bytes: NonNegativeInt = 0


class CostEntry(Costs):
    """Costs of one method.

    Attributes:
        construction: Seconds to construct all weights of the network in training mode, forward only.
        forward_macs: Multiply-accumulates of one batch's forward pass by the method's own formula, weights given.
        construction_macs: Multiply-accumulates of constructing the weights once, by the method's own formula.
        counted_forward_macs: The same as counted operation by operation, for comparison.
    """

    method: MethodInfo
    construction: tuple[NonNegative, ...] = ()
    forward_macs: NonNegativeInt = 0
    construction_macs: NonNegativeInt = 0
    counted_forward_macs: NonNegativeInt = 0


class OtherCosts(Costs):
    """Costs of the same network made of layers that are not ours.

    Attributes:
        version: Of the package that has the layers.
    """

    name: str
    title: str
    version: str


class CostRecord(Model):
    """One measuring session: all methods interleaved with the unconstrained network of the same padding.

    Attributes:
        others: Plain torch and other libraries, where they were measured along.
    """

    kind: Literal["cost"] = "cost"
    schema_version: int = SCHEMA
    harness: int = HARNESS_REVISION
    model: Literal["convnet"] = "convnet"
    size: str
    width: PositiveInt
    kernel_size: KernelSize = 3
    image: tuple[PositiveInt, PositiveInt, PositiveInt]
    classes: PositiveInt
    batch_size: PositiveInt
    machine: Machine
    started: str
    seconds: NonNegative
    entries: tuple[CostEntry, ...]
    others: tuple[OtherCosts, ...] = ()

    @property
    def id(self) -> str:
        """A readable name for files."""
        image = "x".join(map(str, self.image))
        kernels = "" if self.kernel_size == 3 else f"-k{self.kernel_size}"
        return f"cost-{self.size}{kernels}-{image}-b{self.batch_size}-{self.machine.device}"


Record = Annotated[TrainRecord | CostRecord, Field(discriminator="kind")]
