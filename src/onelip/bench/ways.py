"""Ways to train a network: in float32 or with less precise activations, eager, compiled or as a graph. Their speeds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from onelip.bench.entrants import Entrant, MethodEntrant
from onelip.bench.failure import failure
from onelip.bench.measure.graphs import captured, let_go
from onelip.bench.measure.roofline import Peaks, operations_of
from onelip.bench.measure.timing import interleave
from onelip.bench.selection import method_info, yardstick
from onelip.bench.speed import Speed
from onelip.bench.subject import Trained, Workload
from onelip.errors import UnsupportedOperationError
from onelip.linalg.precision import full_precision

WARMUP = 3


@dataclass(frozen=True, slots=True)
class Way:
    """How a network is trained.

    Attributes:
        infers: Whether it infers in a way of its own; in bfloat16, and compiled, it would be that of float32 again.
    """

    low_precision: bool = False
    compiled: bool = False
    graph: bool = False
    infers: bool = True


WAYS = {
    "float32": Way(),
    "bf16": Way(low_precision=True, infers=False),
    "bf16-graph": Way(low_precision=True, graph=True),
    "bf16-compiled": Way(low_precision=True, compiled=True, infers=False),
}


@dataclass(frozen=True, slots=True)
class Session:
    """What all networks of a record have in common."""

    workload: Workload
    rounds: int
    peaks: Peaks


def unmeasured(entrant: Entrant, way: str) -> Speed:
    """What is known of a network before it is measured."""
    if isinstance(entrant, MethodEntrant):
        about = method_info(entrant.method)
        return Speed(name=entrant.name, title=entrant.title, method=about, padding=entrant.padding, way=way)
    version = f"{entrant.other.package} {entrant.other.version}"
    return Speed(name=entrant.name, title=entrant.title, method=None, version=version, padding="circular", way=way)


def measured(session: Session, entrant: Entrant, way: str) -> Speed:
    """Times a network in turn with the unconstrained network of the same padding, trained the same way.

    Returns:
        Its speed, or what failed.
    """
    speed, chosen = unmeasured(entrant, way), WAYS[way]
    workload = replace(session.workload, low_precision=chosen.low_precision, compiled=chosen.compiled)
    try:
        return speed.model_copy(update=_measured(replace(session, workload=workload), entrant, speed, chosen))
    except Exception as error:  # noqa: BLE001  # one network's failure must not end the session
        status, message = failure(error)
        return speed.model_copy(update={"status": status, "message": message})


@full_precision()
def _measured(session: Session, entrant: Entrant, speed: Speed, way: Way) -> dict[str, object]:
    workload = session.workload
    if way.compiled:
        # What was compiled before is not met again, and would count towards the limit of one function's variants.
        torch.compiler.reset()
    found: dict[str, object] = {}
    if isinstance(entrant, MethodEntrant) and not way.compiled:
        found["roofline"] = _roofline(session, entrant)
    network = entrant.build(workload)
    # On a CPU operations are observed, which those of compiled networks cannot be, and the compiler gives up.
    if not (way.graph or (way.compiled and workload.device.type == "cpu")):
        found["train_bytes"] = network.train_bytes()
    standard = MethodEntrant(yardstick(()), speed.padding).build(workload)
    steps = {"train": _training} | ({"inference": _inference} if way.infers else {})
    for kind, step in steps.items():
        samples = _timed(session, {kind: network, f"yardstick_{kind}": standard}, step, way)
        found |= samples
    return found


def _roofline(session: Session, entrant: MethodEntrant) -> float:
    network = entrant.build(session.workload)
    network.to_training()
    try:
        return session.peaks.seconds(operations_of(network.train_step))
    except (UnsupportedOperationError, torch.OutOfMemoryError):  # observed steps hold more than others
        return 0.0


def _timed(
    session: Session,
    networks: dict[str, Trained],
    step: Callable[[Trained, Way], Callable[[], object]],
    way: Way,
) -> dict[str, tuple[float, ...]]:
    """Samples of a step of each; graphs, and the memory that they hold, end with this call."""
    device = session.workload.device
    if way.graph:
        let_go(device)
    steps = {name: step(network, way) for name, network in networks.items()}
    return interleave(steps, rounds=session.rounds, warmup=WARMUP, device=device)


def _training(network: Trained, way: Way) -> Callable[[], object]:
    network.to_training()
    if not way.graph:
        return network.train_step
    replay = captured(network.find_gradients, network.device)

    def step() -> None:
        replay()
        network.update()

    return step


def _inference(network: Trained, way: Way) -> Callable[[], object]:
    network.to_inference()
    return captured(network.infer, network.device) if way.graph else network.infer
