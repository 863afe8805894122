"""Invented but plausible records, for the tests of the report and for looking at the page."""

import math
from pathlib import Path

from onelip.bench.arithmetics import ORDER, REVISION, ArithmeticsRecord, RoundingRecord
from onelip.bench.depth import DepthRecord, ModuleRecord
from onelip.bench.origin import DataInfo, Machine, MethodInfo
from onelip.bench.records import (
    CURVE_STEPS,
    Cell,
    CostEntry,
    CostRecord,
    Epoch,
    Evaluation,
    Recipe,
    Started,
    TrainRecord,
)
from onelip.bench.results import write_record

TITLES = {
    "standard": "Unconstrained",
    "aol": "AOL",
    "bcop": "BCOP",
    "cayley": "Cayley",
    "cpl": "CPL",
    "lot": "LOT",
    "sll": "SLL",
    "soc": "SOC",
}
ZERO_PADDED = {"cpl", "lot", "sll", "soc"}

# Accuracy, scale of the certified radii (in 1/255), training step, inference step, training memory, inference memory:
# the costs in multiples of the unconstrained network's.
FIGURES = {
    "standard": (0.978, 0.0, 1.0, 1.0, 1.0, 1.0),
    "aol": (0.936, 190.0, 1.31, 1.01, 1.12, 1.00),
    "bcop": (0.942, 205.0, 3.92, 1.02, 1.97, 1.00),
    "cayley": (0.931, 180.0, 5.61, 2.48, 2.31, 1.52),
    "cpl": (0.961, 232.0, 2.02, 1.97, 1.63, 1.24),
    "lot": (0.953, 226.0, 11.7, 2.61, 6.42, 1.88),
    "sll": (0.947, 214.0, 2.24, 1.98, 1.71, 1.24),
    "soc": (0.958, 229.0, 5.13, 11.6, 3.26, 1.31),
}

MACHINE = Machine(
    processor="x86_64 server processor",
    cores=2,
    threads=2,
    memory_bytes=8_000_000_000,
    device="cpu",
    device_name="x86_64 server processor",
    system="Linux 6.1",
    python="3.11.7",
    torch="2.13.0",
    onelip="0.1.0",
)
DIGITS = DataInfo(name="digits", title="Digits", digest="5f" * 32, image=(1, 8, 8), classes=10, train=1437, test=360)


def method(name, **changes):
    """What a report knows of a method."""
    facts = {
        "name": name,
        "title": TITLES.get(name, name),
        "cite": name,
        "revision": 1,
        "slack": 1e-6,
        "constrained": name != "standard",
        "orthogonal": name in {"bcop", "cayley", "lot", "soc"},
        "orthogonal_zeros": name == "soc",
        "padding": "zeros" if name in ZERO_PADDED else "circular",
    }
    return MethodInfo(**facts | changes)


def evaluation(accuracy, scale, images=360, lipschitz=1.0000012):
    """Certified counts that fall smoothly from the accuracy to nothing; `scale` 0 certifies nothing."""
    correct = round(accuracy * images)
    counts = [
        min(correct, round(correct * math.exp(-((k / scale) ** 1.6)))) if scale else 0 for k in range(CURVE_STEPS + 1)
    ]
    return Evaluation(
        images=images,
        largest_class=-(-images // 10),
        correct=correct,
        loss=0.5,
        certified=tuple(counts),
        lipschitz=lipschitz,
        seconds=0.8,
    )


def exactly(certified, images=360, loss=0.5):
    """An evaluation with this many images certified at every radius up to 100/255, and none beyond."""
    facts = {"images": images, "largest_class": -(-images // 10), "correct": certified, "loss": loss}
    counts = tuple(certified if k <= 100 else 0 for k in range(CURVE_STEPS + 1))
    return Evaluation(**facts, certified=counts, lipschitz=1.0, seconds=0.1)


def history(epochs, accuracy, seconds):
    """A learning curve."""
    return tuple(
        Epoch(
            epoch=k,
            step=6 * k,
            seconds=seconds * k / epochs,
            learning_rate=0.1,
            loss=0.62 * math.exp(-3.5 * k / epochs) + 0.35 * (1 - accuracy),
            accuracy=accuracy * (1 - math.exp(-6 * k / epochs)),
            nominal_cra36=0.8 * accuracy * (1 - math.exp(-5 * k / epochs)),
            images_per_second=2100.0,
        )
        for k in range(1, epochs + 1)
    )


def train_record(name, *, result=None, status="ok", message="", seed=0, data=DIGITS, budget="20s", **changes):
    """One run; `changes` go to the cell, and those named `method`, `machine` and `record_...` to the record."""
    info = changes.pop("method", method(name))
    machine = changes.pop("machine", MACHINE)
    of_record = {key[7:]: changes.pop(key) for key in list(changes) if key.startswith("record_")}
    accuracy, scale = FIGURES.get(name, (0.93, 200.0))[:2]
    ok = status == "ok"
    facts = {
        "method": info.name,
        "revision": info.revision,
        "size": "XS",
        "width": 16,
        "data": data.name,
        "padding": "paper",
        "budget": budget,
        "recipe": Recipe(),
        "seed": seed,
    }
    bound = 1.0000012 if info.constrained else 8_412_345.6
    by_clock = not budget.endswith("epochs")
    fields = {
        "cell": Cell(**facts | changes),
        "method": info,
        "data": data,
        "machine": machine,
        "status": status,
        "message": message,
        "started": "2025-06-01T10:00:00+00:00",
        "seconds": 19.4 if ok else 1.3,
        "budget_seconds": 20.0 if by_clock else None,
        "planned_steps": 240,
        "steps": 240 if ok else 17,
        "schedule_progress": 1.0 if ok else 0.1,
        "parameters": 394_240,
        "history": history(40 if ok else 3, accuracy - 0.004 * seed, 19.0 if ok else 1.3),
        "evaluation": (result or evaluation(accuracy - 0.004 * seed, scale, data.test, bound)) if ok else None,
    }
    return TrainRecord(**fields | of_record)


def samples(centre, count=30):
    """Times that scatter around a centre, the same in every run."""
    return tuple(centre * (1 + 0.03 * math.sin(7.3 * k) + 0.002 * (k % 5)) for k in range(count))


def cost_entry(name, *, padding=None, status="ok", message="", info=None):
    """The costs of one method."""
    info = info or method(name)
    padding = padding or info.padding
    if status != "ok":
        return CostEntry(method=info, padding=padding, status=status, message=message)
    _, _, train, inference, train_memory, inference_memory = FIGURES.get(name, (0.93, 200.0, 1.5, 1.2, 1.3, 1.1))
    one = 1.0 if padding == "circular" else 0.86
    return CostEntry(
        method=info,
        padding=padding,
        status="ok",
        train_step=samples(0.0213 * one * train),
        inference=samples(0.00612 * one * inference),
        latency=samples(0.00187 * inference),
        construction=samples(0.0004 + 0.0101 * (train - 1)),
        train_bytes=round(31_400_000 * train_memory),
        inference_bytes=round(7_210_000 * inference_memory),
        forward_macs=183_500_800 * (2 if name in {"cpl", "sll"} else 12 if name == "soc" else 1),
        construction_macs=0 if name == "standard" else round(9_800_000 * train),
        counted_forward_macs=183_500_800 * (2 if name in {"cpl", "sll"} else 12 if name == "soc" else 1),
    )


def cost_record(names=tuple(TITLES), *, entries=None, data=DIGITS, **changes):
    """A session: the named methods, and the unconstrained network with either padding."""
    if entries is None:
        entries = [cost_entry(name) for name in names if name != "standard"]
        entries += [cost_entry("standard", padding=padding) for padding in ("circular", "zeros")]
    facts = {
        "size": "XS",
        "width": 16,
        "image": data.image,
        "classes": data.classes,
        "batch_size": 256,
        "machine": MACHINE,
        "started": "2025-06-01T10:05:00+00:00",
        "seconds": 41.0,
        "entries": tuple(entries),
    }
    return CostRecord(**facts | changes)


def depth_record(run, variances=(1.0, 0.8), gradients=(0.7, 1.0), images=9):
    """A diagnosis of a run, layer by layer."""
    facts = {"kind": "AOLConv2d", "shape": (16, 8, 8), "parametrised": True, "broken": False}
    facts |= dict.fromkeys(("growth", "bound", "preservation"), 1.0)
    modules = tuple(
        ModuleRecord(name=f"block{index}", variance=variance, gradient=gradient, **facts)
        for index, (variance, gradient) in enumerate(zip(variances, gradients, strict=True))
    )
    return DepthRecord(cell=run.cell, started=run.started, images=images, modules=modules)


def arithmetics_record(run, counts=(120, 124, 100), charged=(1e-4, 2e-4), measured=(1e-7, 2e-7), **changes):
    """What each arithmetic certifies of a run at every radius up to 100/255, and what two layers err by."""
    modules = tuple(
        RoundingRecord(name=f"block{index}", kind="Conv2d", measured=least, bound=most, passed_on=most)
        for index, (most, least) in enumerate(zip(charged, measured, strict=True))
    )
    facts = {
        "cell": run.cell,
        "started": run.started,
        "revision": REVISION,
        "machine": MACHINE,
        "block": 16,
        "evaluations": tuple(
            exactly(count).model_copy(update={"arithmetic": name}) for name, count in zip(ORDER, counts, strict=True)
        ),
        "plain": samples(0.01, 12),
        "program": samples(0.014, 12),
        "plain_single": samples(0.002, 8),
        "program_single": samples(0.004, 8),
        "images": 64,
        "measured": 3e-7,
        "bound": 0.002,
        "modules": modules,
    }
    return ArithmeticsRecord(**facts | changes)


def write(folder, *records):
    """Write records as `onelip compare` lays them out."""
    for record in records:
        is_run = isinstance(record, TrainRecord)
        name = f"{record.cell.id}/record.json" if is_run else f"{record.id}.json"
        write_record(record, Path(folder) / name)


def demo(folder):
    """What `make demo` might leave: eight methods; SOC diverged, the costs of LOT are missing."""
    runs = [train_record(name) for name in TITLES if name != "soc"]
    runs.append(train_record("soc", status="diverged", message="loss is NaN"))
    entries = [cost_entry(name) for name in TITLES if name not in {"standard", "lot"}]
    entries.append(cost_entry("lot", status="oom", message="12.1 GB were asked for"))
    entries += [cost_entry("standard", padding=padding) for padding in ("circular", "zeros")]
    write(folder, *runs, cost_record(entries=entries))


def study(folder):
    """Two data sets, three seeds, a learning-rate scan, a stale, a cut and an unfinished file."""
    folder = Path(folder)
    demo(folder)
    cifar = DataInfo(
        name="cifar10", title="CIFAR-10", digest="a3" * 32, image=(3, 32, 32), classes=10, train=50000, test=10000
    )
    for seed in range(3):
        for name in TITLES:
            accuracy, scale = FIGURES[name][:2]
            result = evaluation(0.62 * accuracy + 0.006 * seed, 0.46 * scale * (1 - 0.01 * seed), 10000)
            if (name, seed) == ("bcop", 2):
                write(folder, train_record(name, status="oom", message="9.9 GB", seed=2, data=cifar, budget="10m"))
            else:
                write(folder, train_record(name, result=result, seed=seed, data=cifar, budget="10m"))
    write(folder, cost_record(data=cifar))
    held_out = cifar.model_copy(update={"digest": "b4" * 32, "train": 45000, "test": 5000})
    for name in ("aol", "cpl"):
        for rate in (0.01, 0.03, 0.1, 0.3):
            result = evaluation(0.5 - 0.1 * abs(math.log10(rate / 0.1)), 90, 5000)
            recipe = Recipe(learning_rate=rate)
            status = "diverged" if (name, rate) == ("cpl", 0.3) else "ok"
            extra = {"recipe": recipe, "evaluate_on": "validation", "budget": "2m"}
            write(folder, train_record(name, result=result, status=status, data=held_out, **extra))
    old = train_record("aol", seed=9, record_harness=99)
    write(folder, old)
    cut = folder / "aol-cut" / "record.json"
    cut.parent.mkdir()
    cut.write_text('{"kind": "train", "schema_ver', encoding="utf-8")
    started = folder / "lot-started" / "run.json"
    started.parent.mkdir()
    begun = train_record("lot", seed=5)
    facts = {key: getattr(begun, key) for key in ("cell", "method", "machine", "started")}
    started.write_text(Started(**facts).model_dump_json(), encoding="utf-8")
