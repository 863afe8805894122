"""Numbers that others published, each with its source, to lay records beside. Imports no torch.

Each function reads one file that travels in the package, when it is first called. `rows` says what the numbers mean.
"""

from __future__ import annotations

from onelip.bench.published.advice import Guideline
from onelip.bench.published.paper import Paper as Paper
from onelip.bench.published.read import shipped
from onelip.bench.published.rows import (
    Accuracy,
    Cited,
    Complexity,
    Curve,
    EpochBudget,
    LoggedRun,
    PosterComplexity,
    RadarScores,
    StateOfTheArt,
    Statistics,
)


def accuracy() -> tuple[Accuracy, ...]:
    """Tables 9, 10 and 11: the networks of the comparison. LOT at size L did not fit; of Imagenette nothing is printed.

    >>> len(accuracy())
    243
    """
    return shipped(Accuracy, "accuracy_all_budgets.csv")


def accuracy_1x1() -> tuple[Accuracy, ...]:
    """Table 12: networks of 1x1 kernels on CIFAR-10."""
    return shipped(Accuracy, "accuracy_1x1_kernels.csv")


def epoch_budgets() -> tuple[EpochBudget, ...]:
    """Table 8: the budgets in epochs."""
    return shipped(EpochBudget, "epoch_budgets.csv")


def curves() -> tuple[Curve, ...]:
    """Four radii of the 24 h runs on CIFAR-10. The log of Cayley at size L is not whole, and has no row."""
    return shipped(Curve, "cifar10_24h_consolidated.csv")


def logged_runs() -> tuple[LoggedRun, ...]:
    """All logs of 24 h runs on CIFAR-10 up to size M, collapsed and repeated ones too."""
    return shipped(LoggedRun, "cifar10_24h_from_logs_all_runs.csv")


def statistics() -> tuple[Statistics, ...]:
    """The repository's own table of the 24 h runs on CIFAR-10."""
    return shipped(Statistics, "cifar10_24h_statistics_csv_incl_L_and_1x1.csv")


def complexity() -> tuple[Complexity, ...]:
    """Table 1: cost of a layer, as formulas."""
    return shipped(Complexity, "complexity.csv")


def poster_complexity() -> tuple[PosterComplexity, ...]:
    """The same in short, from the poster."""
    return shipped(PosterComplexity, "complexity_poster.csv")


def radar_scores() -> tuple[RadarScores, ...]:
    """Figure 1: scores of the six metrics."""
    return shipped(RadarScores, "radar_scores.csv")


def guidelines() -> tuple[Guideline, ...]:
    """What the paper advises."""
    return shipped(Guideline, "guidelines.csv")


def cited() -> tuple[Cited, ...]:
    """Table 4: what other papers report."""
    return shipped(Cited, "sota_in_paper.csv")


def state_of_the_art() -> tuple[StateOfTheArt, ...]:
    """Certified accuracies from many papers; the row of Imagenette says that none was found."""
    return shipped(StateOfTheArt, "sota_certified_l2.csv")


def paper() -> Paper:
    """The tables that training runs are laid beside."""
    return Paper(accuracy=accuracy() + accuracy_1x1(), curves=curves(), budgets=epoch_budgets(), logs=logged_runs())
