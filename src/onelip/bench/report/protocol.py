"""Under which conditions a comparison was made."""

from __future__ import annotations

from collections.abc import Iterable

from onelip.bench.records import CostRecord
from onelip.bench.report.formats import whole_percent
from onelip.bench.report.rows import Group
from onelip.bench.report.scans import MOST_COLUMNS, SCAN_RULE
from onelip.bench.report.wording import PADDINGS, counted, joined, kernels
from onelip.errors import plain


def protocol(group: Group) -> Iterable[tuple[str, str]]:
    """What all cells of a comparison share, in pairs of a term and a sentence."""
    if group.cell is not None and group.data is not None:
        cell, data = group.cell, group.data
        image = "\u00d7".join(map(str, data.image))
        yield (
            "Data",
            f"{plain(data.title)}: {data.train} training and {data.test} test images of {image}, "
            f"{data.classes} classes; content {plain(data.digest)[:16]}",
        )
        network = f"{cell.model}, size {plain(cell.size)} (width {cell.width}){kernels(cell.kernel_size)}"
        yield "Network", f"{network}, {PADDINGS[cell.padding]}"
        yield "Budget", f"{plain(cell.budget)} per run; {_really_taken(group)}{_beside(group)}"
        yield "Recipe", _recipe(group, data.augmentation)
        yield "Learning rates", _learning_rates(group)
        yield (
            "Arithmetic",
            "float32 with TF32 off, in training, evaluation and measuring; the bound is proved in float64",
        )
    if group.session is not None:
        yield "Costs", _session(group.session, group)


def _really_taken(group: Group) -> str:
    runs = [run for run in group.runs if run.status == "ok"]
    if not runs:
        return "no run finished"
    low, high = min(run.seconds for run in runs), max(run.seconds for run in runs)
    taken = f"really taken {low:.1f} to {high:.1f} s" if low < high else f"really taken {low:.1f} s"
    again = [len(run.plans) - 1 for run in runs if run.plans]
    if any(again):
        taken += f", planned anew up to {counted(max(again), 'time')}"
    cut = [run.schedule_progress for run in runs if run.schedule_progress < 1]
    if not cut:
        return f"{taken}; every schedule came to its end"
    return (
        f"{taken}; in {counted(len(cut), 'run')} the time was up before, at {whole_percent(min(cut))} % of the schedule"
    )


def _beside(group: Group) -> str:
    """How many runs shared the machine with others of the comparison."""
    shared = sum(run.beside for run in group.runs)
    known = f"; {shared} of {counted(len(group.runs), 'run')} beside another process on the same machine and device"
    return f"{known}, with fewer steps than alone" if shared else ""


def _recipe(group: Group, augmentation: str) -> str:
    assert group.cell is not None
    recipe = group.cell.recipe
    decays = sorted({run.cell.recipe.weight_decay for run in group.runs})
    decay = joined(f"{value:.2g}" for value in decays)
    # Older records do not say which.
    known = f"augmentation by {plain(augmentation)}" if augmentation else "the data set's augmentation"
    augmented = known if recipe.augment else "no augmentation"
    return (
        f"SGD, batch {recipe.batch_size}, one learning-rate cycle rising for {100 * recipe.warmup:g} % of the steps, "
        f"momentum {recipe.momentum[1]:g} to {recipe.momentum[0]:g} and back, weight decay {decay}, loss margin "
        f"{recipe.margin:.4f} and temperature {recipe.temperature:g}, {augmented}; seeds "
        f"{joined(map(str, sorted({run.cell.seed for run in group.runs})))}"
    )


def _learning_rates(group: Group) -> str:
    if not group.trials:
        return "as asked for; no scan of these networks is in this folder"
    budgets = joined(sorted({plain(run.cell.budget) for run in group.trials}))
    rates = sorted({run.cell.recipe.learning_rate for run in group.trials})
    decays = sorted({run.cell.recipe.weight_decay for run in group.trials})
    if len(rates) > MOST_COLUMNS:
        tried = f"searched per method on held-out training images, {len(rates)} of {rates[0]:.3g} to {rates[-1]:.3g}"
    else:
        tried = f"scanned per method on held-out training images: {joined(f'{rate:.3g}' for rate in rates)}"
    weight = f", weight decays of {decays[0]:.2g} to {decays[-1]:.2g}" if len(decays) > 1 else ""
    return f"{tried}{weight}, budget {budgets} each; chosen is {SCAN_RULE}"


def _session(session: CostRecord, group: Group) -> str:
    trained_on = {run.machine.device_name for run in group.runs}
    elsewhere = bool(trained_on) and session.machine.device_name not in trained_on
    where = f"on {plain(session.machine.device_name)}" + (", not the machine of the training" if elsewhere else "")
    return (
        f"one session of {session.seconds:.0f} s {where}, batch {session.batch_size}; {_rounds(session)}, in each of "
        "which every method and the unconstrained network run once, in an order drawn anew"
    )


def _rounds(session: CostRecord) -> str:
    taken = {
        "training": {len(entry.train_step) for entry in session.entries if entry.train_step},
        "inference": {len(entry.inference) for entry in session.entries if entry.inference},
    }
    known = [f"{' or '.join(map(str, sorted(numbers)))} rounds of {step}" for step, numbers in taken.items() if numbers]
    return joined(known) or "no round was timed"
