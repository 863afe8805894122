"""What takes part in a measuring session: the networks of methods, and those of other layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from onelip.bench.failure import failure
from onelip.bench.others import Other
from onelip.bench.records import CostEntry, OtherCosts
from onelip.bench.selection import method_info
from onelip.bench.subject import Subject, Trained, Workload
from onelip.errors import UnsupportedOperationError
from onelip.linalg.conv import Padding
from onelip.method import Method


@dataclass(frozen=True, slots=True)
class MethodEntrant:
    """The network of a method with one padding."""

    method: Method
    padding: Padding

    @property
    def name(self) -> str:
        """Unique in a session."""
        return f"{self.method.name}, {self.padding}"

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.method.title}, {self.padding}"

    def build(self, workload: Workload) -> Subject:
        """The network in memory."""
        return Subject(self.method, self.padding, workload)

    def examined(self, workload: Workload) -> CostEntry:
        """Everything but the times, of a network that has the device for itself."""
        subject = self.build(workload)
        train_bytes, inference_bytes = subject.train_bytes(), subject.inference_bytes()
        counted, message = _counted(subject)
        return CostEntry(
            method=method_info(self.method),
            padding=self.padding,
            status="ok",
            message=message,
            train_bytes=train_bytes,
            inference_bytes=inference_bytes,
            forward_macs=subject.forward_macs(),
            construction_macs=subject.construction_macs(),
            counted_forward_macs=counted,
        )

    def failed(self, error: Exception) -> CostEntry:
        """The record of a failure."""
        status, message = failure(error)
        return CostEntry(method=method_info(self.method), padding=self.padding, status=status, message=message)


@dataclass(frozen=True, slots=True)
class OtherEntrant:
    """The same network made of layers that are not ours."""

    other: Other

    @property
    def name(self) -> str:
        """Unique in a session."""
        return f"other {self.other.name}"

    @property
    def title(self) -> str:
        """For people."""
        return self.other.title

    def build(self, workload: Workload) -> Trained:
        """The network in memory."""
        torch.manual_seed(0)
        return Trained(self.other.network(workload), workload)

    def examined(self, workload: Workload) -> OtherCosts:
        """As for methods; what another library does is not counted by formulas."""
        network = self.build(workload)
        sizes = {"train_bytes": network.train_bytes(), "inference_bytes": network.inference_bytes()}
        return self._costs().model_copy(update=sizes)

    def failed(self, error: Exception) -> OtherCosts:
        """The record of a failure."""
        status, message = failure(error)
        return self._costs().model_copy(update={"status": status, "message": message})

    def _costs(self) -> OtherCosts:
        return OtherCosts(
            name=self.other.name,
            title=self.other.title,
            version=f"{self.other.package} {self.other.version}",
            padding="circular",
            status="ok",
        )


Entrant = MethodEntrant | OtherEntrant


def _counted(subject: Subject) -> tuple[int, str]:
    """The count, or 0 and the reason why a method uses an operation that cannot be counted."""
    try:
        return subject.counted_forward_macs(), ""
    except UnsupportedOperationError as error:
        return 0, str(error)
