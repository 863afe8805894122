"""Measurements and certificates are made in full float32, and leave the settings as they were."""

import pytest
import torch

from onelip.bench.measure.precision import full_precision


def settings() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_tf32_is_off_inside_and_as_before_afterwards() -> None:
    before = settings()
    try:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = True, False
        with pytest.raises(AssertionError, match="planned"):
            fail_inside()
        assert settings() == (True, False)
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@full_precision()
def fail_inside() -> None:
    assert settings() == (False, False)
    raise AssertionError("planned")
