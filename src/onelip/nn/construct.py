"""The weights of many layers at once: one construction per group of equal shapes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch

from ..linalg.autocast import without_autocast
from ..linalg.conv import Image
from .base import LipschitzModule, Weights
from .modes import in_inference_mode


def construct_all(layers: Sequence[LipschitzModule], images: Sequence[Image]) -> list[Weights]:
    """Constructs the weights of all layers, with one call for all layers of one kind and shape.

    Layers whose kept weights are still good are not constructed anew (eval mode only, see `LipschitzModule.recall`).

    Args:
        layers: Layers in any order.
        images: The height and width of each layer's inner image.

    Returns:
        The weights of each layer, in the order of `layers`.
    """
    if in_inference_mode():
        with torch.inference_mode(False), torch.no_grad():
            return construct_all(layers, images)
    result: dict[int, Weights] = {}
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for index, (layer, image) in enumerate(zip(layers, images, strict=True)):
        kept = layer.recall(image)
        if kept is not None:
            result[index] = kept
        else:
            groups[layer.construction_key(image)].append(index)
    for members in groups.values():
        first = layers[members[0]]
        with without_autocast(first.raw()[0].device):
            stacked = tuple(torch.stack(tensors) for tensors in zip(*(layers[i].raw() for i in members), strict=True))
            built = first.construct(stacked, images[members[0]])
        for index, weights in zip(members, zip(*(tensor.unbind() for tensor in built), strict=True), strict=True):
            result[index] = layers[index].remember(weights, images[index])
    return [result[index] for index in range(len(layers))]
