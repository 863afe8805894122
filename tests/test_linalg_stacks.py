"""Stacks that are shared among threads: the same factors, and nothing else is changed by it."""

import os
import threading

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from onelip.bench.measure.flops import count_macs
from onelip.bench.measure.profile import profile_operations
from onelip.linalg import stacks
from onelip.linalg.stacks import in_parts


@pytest.fixture(autouse=True)
def two_threads(monkeypatch):
    monkeypatch.setattr(stacks, "WORTH", 0)
    stacks._pool.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


def watched(stack):
    """A decomposition that notes which threads it ran on, and how many it may use itself."""
    seen = []

    def decompose(part):
        seen.append((threading.current_thread().name, torch.get_num_threads(), len(part)))
        return torch.linalg.svd(part, full_matrices=False)

    return decompose, seen


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 3, 3), (2, 3, 4, 2), (1, 7, 2, 2)])
def test_parts_give_what_the_whole_gives(shape):
    stack = torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    decompose, seen = watched(stack)
    factors = in_parts(decompose, stack)
    assert len(seen) == 2
    assert all(name.startswith("onelip") and threads == 1 for name, threads, _ in seen)
    for found, expected in zip(factors, torch.linalg.svd(stack, full_matrices=False), strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.get_num_threads() == 2, "the caller keeps its threads"


def test_threads_that_begin_later_have_the_callers_number():
    """PyTorch keeps the number that was set last for threads that it does not know."""
    in_parts(torch.linalg.eigh, torch.randn(4, 3, 3))
    found = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


@pytest.mark.parametrize("shape", [(3, 3), (1, 3, 3), (0, 3, 3)])
def test_what_has_no_parts_is_taken_whole(shape):
    decompose, seen = watched(stack := torch.randn(shape))
    left, singular, right = in_parts(decompose, stack)
    torch.testing.assert_close((left * singular[..., None, :]) @ right, stack)
    assert [name for name, *_ in seen] == [threading.current_thread().name]


def test_a_stack_with_a_gradient_loses_it():
    stack = torch.randn(4, 3, 3, requires_grad=True)
    with torch.no_grad():
        factors = in_parts(lambda part: (part @ part,), stack)
    assert not factors[0].requires_grad


def test_an_error_reaches_the_caller():
    def fail(part):
        raise ArithmeticError("this part")

    with pytest.raises(ArithmeticError, match="this part"):
        in_parts(fail, torch.randn(4, 3, 3))


def test_modes_and_transforms_see_the_whole():
    """They belong to the thread that entered them."""
    stack = torch.randn(4, 3, 3)
    assert count_macs(lambda: in_parts(torch.linalg.eigh, stack)) == count_macs(lambda: torch.linalg.eigh(stack)) > 0
    doubled = torch.func.vmap(lambda one: in_parts(lambda part: (2 * part,), one)[0])(stack[None])
    torch.testing.assert_close(doubled[0], 2 * stack)
    with torch.inference_mode():
        torch.testing.assert_close(in_parts(lambda part: (2 * part,), stack)[0], 2 * stack)
    with FakeTensorMode() as mode:
        assert in_parts(lambda part: (2 * part,), mode.from_tensor(stack))[0].shape == stack.shape


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    """Loaders of data fork; the threads of the parent are not there in the child."""
    stack = torch.randn(4, 3, 3)
    in_parts(torch.linalg.eigh, stack)
    child = os.fork()
    if child == 0:
        os._exit(0 if in_parts(lambda part: (2 * part,), stack)[0].equal(2 * stack) else 1)
    finished = threading.Timer(20, os.kill, (child, 9))
    finished.start()
    _, status = os.waitpid(child, 0)
    finished.cancel()
    assert os.waitstatus_to_exitcode(status) == 0


def test_where_no_thread_can_begin_the_whole_is_taken(monkeypatch):
    begin, begun = threading.Thread.start, []

    def fail_at_the_second(thread):
        begun.append(thread)
        if len(begun) > 1:
            raise RuntimeError("can't start new thread")
        begin(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_at_the_second)
    stack = torch.randn(4, 3, 3)
    assert torch.equal(in_parts(lambda part: (2 * part,), stack)[0], 2 * stack)
    monkeypatch.undo()
    begun[0].join(timeout=20)
    assert not begun[0].is_alive(), "the thread that did begin waits for ever"
    assert torch.get_num_threads() == 2


def test_one_pool_serves_stacks_of_any_number():
    torch.set_num_threads(4)
    for count in (2, 3, 9, 2):
        in_parts(torch.linalg.eigh, torch.randn(count, 3, 3))
    assert stacks._pool.cache_info().misses == 1


def test_callers_on_several_threads_share_the_pool():
    stack, found = torch.randn(6, 3, 3), []
    callers = [threading.Thread(target=lambda: found.append(in_parts(lambda p: (2 * p,), stack)[0])) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=20)
    assert len(found) == 8
    assert all(torch.equal(one, 2 * stack) for one in found)
    assert stacks._pool.cache_info().misses == 1


def test_a_profile_sees_what_the_threads_would_do():
    stack = torch.randn(4, 3, 3)
    operations = profile_operations(lambda: in_parts(torch.linalg.eigh, stack), device=torch.device("cpu"), runs=1)
    assert "aten::_linalg_eigh" in {one.name for one in operations}
