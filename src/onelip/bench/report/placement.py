"""Labels beside points, none over another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """The common area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    def outside(self, frame: Box) -> float:
        """The area that sticks out of a frame."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    frame: Box,
) -> list[Box]:
    """A box per label, near its point, inside the frame, and where possible free of obstacles and of other labels.

    Greedy, from the first label to the last: each takes the nearest of its candidates that covers least. With the
    handful of labels of a figure that is enough, and the same input always gives the same figure.

    Args:
        points: Where the labels belong.
        sizes: (width, height) of each label.
        obstacles: What should not be covered, such as markers and error bars.
        frame: The plotting area.
    """
    placed: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        candidates = list(_candidates(point, size))
        costs = [
            # A label over a label cannot be read; one over an error bar can.
            10 * sum(box.overlap(other) for other in placed)
            + sum(box.overlap(other) for other in obstacles)
            + 100 * box.outside(frame)
            + 0.001 * rank
            for rank, box in enumerate(candidates)
        ]
        placed.append(candidates[costs.index(min(costs))])
    return placed


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> Iterator[Box]:
    """Right, left, above and below the point, then farther and farther away."""
    x, y = point
    width, height = size
    for distance in range(6, 70, 3):
        lefts = (x + distance, x - distance - width, x - width / 2)
        for shift in (0.0, 0.6, -0.6, 1.2, -1.2):
            bottom = y - height / 2 + shift * height
            yield from (Box(left, bottom, left + width, bottom + height) for left in lefts[:2])
        for bottom in (y + distance, y - distance - height):
            yield Box(lefts[2], bottom, lefts[2] + width, bottom + height)
