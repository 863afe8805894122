"""The roofline counts what runs, and is a lower bound of what a machine can do."""

import pytest
import torch

from onelip.bench.measure import graphs
from onelip.bench.measure.graphs import SPARE, captured, held_bytes, recovers
from onelip.bench.measure.roofline import Operation, Peaks, measured_peaks, operations_of
from onelip.errors import UnsupportedOperationError

CPU = torch.device("cpu")


def test_a_product_moves_its_factors_and_its_result():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert operations_of(lambda: a @ b) == (Operation(60, 4 * (12 + 20 + 15), False),)


def test_views_and_reserved_memory_move_nothing():
    a = torch.ones(3, 4)
    assert operations_of(lambda: a.T.reshape(12)[2:].view(5, 2)) == (Operation(0, 2 * 4 * 12, False),)  # one copy
    assert operations_of(lambda: torch.empty(7)) == ()


def test_in_place_operations_read_and_write():
    a, b = torch.ones(6), torch.ones(6)
    assert operations_of(lambda: a.add_(b)) == (Operation(0, 4 * (6 + 6 + 6), False),)


def test_what_is_overwritten_is_not_read():
    a, b = torch.ones(6), torch.ones(6)
    assert operations_of(lambda: a.copy_(b)) == (Operation(0, 4 * (6 + 6), False),)
    assert operations_of(a.zero_) == (Operation(0, 4 * 6, False),)
    assert operations_of(lambda: torch.add(a, b, out=torch.empty(6))) == (Operation(0, 4 * (6 + 6 + 6), False),)
    assert operations_of(lambda: torch.zeros_like(a)) == (Operation(0, 4 * 6, False),)
    assert operations_of(lambda: torch._foreach_add_([a, b], [b, a])) == (Operation(0, 6 * 4 * 6, False),)


def test_what_is_there_once_is_read_once():
    one, matrix = torch.ones(1), torch.ones(3, 4)
    assert operations_of(lambda: one.expand(1000).sum()) == (Operation(0, 4 * (1 + 1), False),)
    assert operations_of(lambda: matrix + torch.ones(4).expand(3, 4))[-1] == Operation(0, 4 * (12 + 4 + 12), False)


def test_of_a_choice_only_the_result_surely_moves():
    matrix, index = torch.ones(100, 4), torch.tensor([3])
    assert operations_of(lambda: matrix.index_select(0, index)) == (Operation(0, 4 * 4, False),)
    assert operations_of(lambda: matrix.index_fill_(0, index, 1.0)) == ()


@pytest.mark.parametrize(("dtype", "low"), [(torch.float32, False), (torch.bfloat16, True), (torch.float64, False)])
def test_low_precision_is_told_apart(dtype, low):
    a = torch.ones(2, 2, dtype=dtype)
    assert [one.low_precision for one in operations_of(lambda: a @ a)] == [low]


def test_a_backward_pass_counts():
    a, b = torch.ones(3, 4, requires_grad=True), torch.ones(4, 5)
    operations = operations_of(lambda: (a @ b).sum().backward())
    assert sum(one.macs for one in operations) == 60 + 60


def test_each_operation_takes_the_longer_of_arithmetic_and_memory():
    peaks = Peaks(macs=100.0, low_precision_macs=200.0, bytes=10.0)
    assert peaks.seconds((Operation(500, 10, False),)) == 5
    assert peaks.seconds((Operation(500, 10, True),)) == 2.5
    assert peaks.seconds((Operation(500, 100, False), Operation(0, 20, False))) == 10 + 2


def test_measured_peaks_are_rates():
    """A product of the measured size takes about what the peak says, within what a busy machine may do."""
    peaks = measured_peaks(CPU, side=128, numbers=2**16)
    assert min(peaks.macs, peaks.low_precision_macs, peaks.bytes) > 1e6
    assert peaks.macs < 1e15
    assert peaks.bytes < 1e15


def test_a_device_recovers_if_it_computes_and_gives_its_memory_back(monkeypatch):
    assert recovers(CPU, held=held_bytes(CPU))
    monkeypatch.setattr(graphs, "held_bytes", lambda device: SPARE + 1)
    assert recovers(CPU, held=1)
    assert not recovers(CPU, held=0)

    def dead(device):
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(graphs, "let_go", dead)
    assert not recovers(CPU, held=1)


def test_graphs_are_for_gpus():
    with pytest.raises(UnsupportedOperationError, match="need a CUDA device, not cpu"):
        captured(lambda: None, CPU)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_graph_does_the_work_again():
    device = torch.device("cuda")
    x = torch.zeros(3, device=device)
    replay = captured(lambda: x.add_(1), device)
    before = x.clone()
    replay()
    assert torch.equal(x, before + 1)
    stream = torch.cuda.current_stream()
    with pytest.raises(UnsupportedOperationError, match="cannot be recorded"):
        captured(lambda: x.sum().item(), device)
    assert torch.cuda.current_stream() == stream
