"""A minute of measuring on the user's own machine, for the recommender."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from onelip.bench.costs import Note, cases_of, measure_costs, workloads_for
from onelip.bench.records import CostRecord
from onelip.method import Method

SIZE, BATCH, ROUNDS, SECONDS = "XS", 256, 30, 45.0
"""Rounds are taken within the seconds; memory is measured besides."""


def calibration(
    methods: Sequence[Method],
    *,
    image: tuple[int, int, int],
    classes: int,
    device: torch.device,
    note: Note,
) -> CostRecord:
    """The costs of the smallest networks of some methods, each with the padding of its paper.

    Args:
        methods: Which.
        image: Shape of the images.
        classes: Number of logits.
        device: Where.
        note: Is told what is measured.
    """
    cases = cases_of(methods, "paper")
    (workload,) = workloads_for(
        cases, [SIZE], image=image, classes=classes, batch_size=BATCH, device=device, kernel_size=3
    )
    return measure_costs(cases, workload, rounds=ROUNDS, time_limit=SECONDS, note=note)
