"""Measurements and certificates are made in full float32, and leave the settings as they were."""

import subprocess
import sys

import pytest
import torch

from onelip.linalg.precision import NAMED, full_precision, precisions

CHECK = """
import torch
from onelip.linalg.precision import full_precision, precisions
{setting}
before = precisions()
with full_precision():
    inside = precisions()
    torch.ones(2, 2) @ torch.ones(2, 2)
assert precisions() == before, (precisions(), before)
assert set(inside) in ({{"ieee"}}, {{False}}), inside
"""

SETTINGS = ["", "torch.backends.cudnn.allow_tf32 = False", "torch.set_float32_matmul_precision('high')"]
if NAMED:
    PLACES = ("fp32_precision", "cuda.matmul.fp32_precision")
    SETTINGS += [f"torch.backends.{place} = '{value}'" for place in PLACES for value in ("ieee", "tf32")]


@pytest.mark.parametrize("setting", SETTINGS)
def test_tf32_is_off_inside_and_as_before_afterwards(setting: str) -> None:
    """In a process of its own: the settings are of the whole process, and torch refuses some mixtures of them."""
    command = [sys.executable, "-W", "ignore", "-c", CHECK.format(setting=setting)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@full_precision()
def fail_inside() -> None:
    raise AssertionError("planned")


def test_they_are_restored_after_an_error() -> None:
    before = precisions()
    with pytest.raises(AssertionError, match="planned"):
        fail_inside()
    assert precisions() == before
    assert torch.ones(2).sum() == 2
