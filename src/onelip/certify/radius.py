"""Certified radii from margins, Lipschitz bounds and rounding errors."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..bound import Bound
from ..errors import ProgramError, UnsoundError, UnsupportedShapeError
from ..linalg.rounding import TINY, UP, norms
from ..nn.blocked import BLOCK, checked_block
from ..nn.freeze import freeze
from ..nn.refusals import checked_dtype
from ..nn.reshape import FitChannels
from .along import ErrorsAlong, State
from .lipschitz import lipschitz_bound
from .plain import LARGEST, check_labels, plain_evaluation, refuse_other_numbers
from .program import Program
from .rounding import Step, evaluation_error, steps

Arithmetic = Literal["float64", "executed", "real"]
"""What a radius speaks of.

"float64": the frozen network as it is evaluated in float64, with every rounding of the evaluation paid for, at the
input and at every perturbed one. "executed": the same for the network as `onelip.certified_program` evaluates it in
float32. "real": the network as its weights define it, evaluated in their own dtype as if without rounding; not sound
under rounding, for comparison with papers, which do so.
"""

DOWN = 1 - 2.0**-40
SMALLEST_SLOPE = 1e-140
"""A larger slope is always sound; far smaller ones would underflow."""
SMALLEST_RADIUS = 1e-280
"""Smaller ones are 0: divisions would round them up by too much."""
ROOM = 1 + 2.0**-20
"""What claims of rounding errors leave to a verifier, whose bounds of the layers differ in the last digits."""
DIFFERENCE = 1 - 2.0**-22
"""Room for who takes the norm of fl(x' - x), of which every entry was rounded to float32."""


@torch.no_grad()
def certified_radius(
    model: nn.Module, x: Tensor, y: Tensor, *, arithmetic: Arithmetic = "float64", block: int | None = BLOCK
) -> Tensor:
    """Radius around each input inside which no L2 perturbation changes the model's (correct) answer.

    With L a proved Lipschitz bound of the model, it is the least over the other classes i of (f_y - f_i) / (sqrt(2) L).
    With arithmetic="float64" what rounding can add to f_y - f_i, at the input and at every perturbed input, is taken
    off before; and where the model ends with a linear layer of rows w, sqrt(2) L is replaced by ||w_y - w_i|| times the
    bound of what comes before, if that is smaller. With arithmetic="executed" what float32 adds at every perturbed
    input is taken off, and the radius speaks of all arrays of float32 numbers. docs/certification.md has the proof. A
    wrong answer, a tie, a NaN, an infinite logit or a single class gives 0. Evaluated and bounded is one frozen copy of
    the model.

    Args:
        model: A model with a known bound that maps (B, C, H, W) to logits (B, classes).
        x: Inputs, shape (B, C, H, W), pixels in the units that the radius shall have.
        y: True classes, shape (B,), integers.
        arithmetic: What the radius speaks of, "float64", "executed" or "real", see `Arithmetic`.
        block: For "executed" the same as of `onelip.certified_program`.

    Returns:
        Radii of shape (B,), float64.

    Raises:
        UnsoundError: If the model has no proved bound, its rounding errors are not known, or it computes in less than
            float32; for "executed" also if it is not in float32, or this machine computes otherwise than is assumed.
        ValueError: If shapes or labels do not fit, or the block is no positive integer, and not None.

    Tsuzuku, Sato & Sugiyama, NeurIPS 2018, arXiv 1802.04034; Singla & Feizi, ICLR 2022, arXiv 2108.04062 (rows).
    """
    check_labels(x, y)
    return Certifier(model, tuple(x.shape[1:]), arithmetic=arithmetic, block=block).radii(x, y)


class Certifier:
    """A frozen model with all that its certificates rest on, made once for many batches.

    Args:
        model: As for `certified_radius`.
        image: Shape of one input.
        arithmetic: As for `certified_radius`.
        block: As for `certified_radius`.

    Attributes:
        model: The frozen model; but for "real" the weights that it has in its own dtype, in float64.
        program: For "executed" what is certified; else None.
        along: For "executed" what bounds its errors; else None.
        bound: Its Lipschitz bound.
        arithmetic: As given.
        error_coefficients: A bound of the rounding error of the model's logits in float64: the first number plus the
            second times the norm of the (perturbed) input; zeros for "real".
        steps: But for "real" the modules that an input passes through, each with its bound.

    Raises:
        UnsoundError: If the model has no proved bound, or its rounding errors are not known.
        ValueError: If there is no such arithmetic, or the block is no positive integer, and not None.
    """

    def __init__(
        self,
        model: nn.Module,
        image: tuple[int, ...],
        *,
        arithmetic: Arithmetic = "float64",
        block: int | None = BLOCK,
    ) -> None:
        if arithmetic not in get_args(Arithmetic):
            raise ValueError(f"arithmetic={arithmetic!r} is not one of {', '.join(map(repr, get_args(Arithmetic)))}")
        self.arithmetic: Arithmetic = arithmetic
        block = checked_block(block)
        self.steps: tuple[Step, ...] = ()
        self.error_coefficients = 0.0, 0.0
        self.image = tuple(image)
        for name, parameter in model.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise UnsoundError(f"no certificate: the parameter {name} holds NaN or inf")
        self.model = freeze(model, image)
        for name, tensor in self.model.state_dict().items():
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                checked_dtype(tensor, name)
        self.program = Program(self.model, image, block=block) if arithmetic == "executed" else None
        if arithmetic == "real":
            self.bound = lipschitz_bound(self.model, image)
        else:
            self.model = self.model.double()
            self.steps = chain = steps(self.model, image)
            self.bound = Bound.product(step.bound for step in chain)
            # The error is affine in the size of the input, and where that is huge next to nothing but a multiple of it.
            self.error_coefficients = evaluation_error(chain, 0.0), evaluation_error(chain, LARGEST) / LARGEST * UP
        self.along = None if self.program is None else ErrorsAlong(self.steps, self.program.model)
        if self.program is not None:
            self.program.check_sums()
        states = self.model.state_dict().values()
        self._dtype = next((state.dtype for state in states if isinstance(state, Tensor)), None)

    def radii(self, x: Tensor, y: Tensor) -> Tensor:
        """The radii of a batch, see `certified_radius`."""
        check_labels(x, y)
        return self.radii_of(self.logits(x), x, y)

    @torch.no_grad()
    def radii_of(self, logits_BK: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The radii of a batch whose logits, as `logits` gives them, are known."""
        # First: torch does not compare all types of integers, and what wraps around is negative.
        y = y.to(torch.int64)
        if bool((y < 0).any()) or bool((y >= logits_BK.shape[1]).any()):
            raise ValueError(f"labels must lie in [0, {logits_BK.shape[1]}) for logits {tuple(logits_BK.shape)}")
        leads_BK, slopes_BK = leads(logits_BK, y), self._slopes(y, logits_BK.shape[1])
        nominal_B = (leads_BK / slopes_BK).amin(1)
        if self.program is not None:
            return self._executed_radii(logits_BK, x, y, slopes_BK, nominal_B) if len(x) else nominal_B
        # Two errors are needed; the third, and what is more than one DOWN, leave room for a verifier's own rounding.
        charge_B = 3 * math.sqrt(2) * self.errors(x, nominal_B) * UP
        radii_B = ((leads_BK * DOWN - charge_B[:, None]) / slopes_BK).amin(1) * DOWN**4
        sound_B = torch.isfinite(x.flatten(1)).all(1) & torch.isfinite(radii_B) & (radii_B > SMALLEST_RADIUS)
        return torch.where(sound_B, radii_B, 0.0)

    def _executed_radii(self, logits_BK: Tensor, x: Tensor, y: Tensor, slopes_BK: Tensor, nominal_B: Tensor) -> Tensor:
        """Those of the program: its leads at the inputs are known from float64, float32 is charged at others alone."""
        nominal_B = nominal_B.clamp(min=0)
        state = self._state(x, nominal_B)
        check_program(logits_BK, state, x)
        charge_B = math.sqrt(2) * (3 * state.error + state.around * ROOM) * UP
        radii_B = ((leads(state.x, y) * DOWN - charge_B[:, None]) / slopes_BK).amin(1).minimum(nominal_B) * DOWN**4
        # The program's input is the nearest array of float32 numbers.
        away_B = norms((x.to(torch.float64) - x.to(torch.float32).to(torch.float64)).flatten(1))
        radii_B = torch.where(away_B > TINY, radii_B - away_B, radii_B) * DIFFERENCE
        sound_B = torch.isfinite(x.flatten(1)).all(1) & torch.isfinite(radii_B) & (radii_B > SMALLEST_RADIUS)
        return torch.where(sound_B, radii_B, 0.0)

    def _state(self, x: Tensor, radii_B: Tensor) -> State:
        assert self.along is not None
        return self.along.at(x.to(torch.float32).to(torch.float64), radii_B)

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """The logits that the radii speak of, in float64, shape (B, classes).

        Raises:
            UnsoundError: If the model computes in less than float32.
        """
        return self.evaluated(x)

    def evaluated(self, x: Tensor) -> Tensor:
        """As `logits`, and differentiable, in reverse mode unless for "real": what attacks use."""
        if tuple(x.shape[1:]) != self.image:
            raise UnsupportedShapeError(f"this certifier was made for inputs {self.image}, not {tuple(x.shape[1:])}")
        if not len(x):  # torch's PixelUnshuffle gives an empty batch another shape
            return self.evaluated(x.new_zeros(1, *self.image))[:0]
        # A copy: a module that works in place would change the caller's input.
        with plain_evaluation(x, cudnn=self.arithmetic == "real"):
            logits: Tensor = (self.program or self.model)(x.to(self.dtype_of(x), copy=True))
        if logits.dim() != 2:
            raise ValueError(f"the model must give logits of shape (B, classes), not {tuple(logits.shape)}")
        if logits.dtype not in (torch.float32, torch.float64):
            raise UnsoundError(f"certificates need logits in float32 or float64, not {logits.dtype}")
        return logits.to(torch.float64)

    def dtype_of(self, x: Tensor) -> torch.dtype:
        """The type that inputs are rounded to before the model sees them."""
        refuse_other_numbers(x)
        if self.program is not None:
            return torch.float32
        return torch.float64 if self.arithmetic == "float64" else self._dtype or x.dtype

    @torch.no_grad()
    def errors(self, x: Tensor, radii_B: Tensor) -> Tensor:
        """Bounds of the rounding errors of the logits, in the L2 norm, within radii of inputs; 0 for "real".

        They are infinite where something could overflow, or an input is not finite.
        """
        refuse_other_numbers(x)
        if self.arithmetic == "real":
            return torch.zeros_like(radii_B)
        if not len(x):
            return torch.zeros_like(radii_B)
        if self.program is not None:
            return self._state(x, radii_B.clamp(min=0)).around
        none, one = self.error_coefficients
        sizes_B = (norms(x.flatten(1)) + radii_B.clamp(min=0)) * UP
        return torch.where(sizes_B <= LARGEST, (none + one * sizes_B) * UP, math.inf)

    def _slopes(self, y: Tensor, classes: int) -> Tensor:
        """Bounds of the Lipschitz constants of f_y - f_i, shape (B, classes)."""
        general = math.sqrt(2) * max(float(self.bound), SMALLEST_SLOPE) * UP
        found = _last_rows(self.model, classes) if self.arithmetic != "real" else None
        if found is None or not len(y):
            return torch.full((len(y), classes), general, dtype=torch.float64, device=y.device)
        rows_KN, modules = found
        before = float(Bound.product(self.bound.parts[:-modules]))
        present, index_B = y.unique(return_inverse=True)
        apart_PK = torch.stack([norms(rows_KN[label] - rows_KN) for label in present]) * (before * UP * UP)
        return apart_PK[index_B].clamp(min=SMALLEST_SLOPE, max=general)


def check_program(logits_BK: Tensor, state: State, x: Tensor) -> None:
    """Raises where a program errs by more than is said of it.

    Args:
        logits_BK: Of the program.
        state: What is known of the same inputs; errors may be infinite.
        x: The inputs.

    Raises:
        ProgramError: If it does; names the inputs.
    """
    apart_B = torch.linalg.vector_norm(logits_BK - state.x, dim=1)
    allowed_B = (state.error + state.around) * UP
    wrong_B = torch.isfinite(allowed_B) & ~(apart_B <= allowed_B)
    if bool(wrong_B.any()):
        worst = int((apart_B - allowed_B).where(wrong_B, -math.inf).nan_to_num(math.inf).argmax())
        raise ProgramError(
            f"the float32 program errs by {float(apart_B[worst]):.3g} at an input where no more than "
            f"{float(allowed_B[worst]):.3g} is possible by what is assumed of this machine: IEEE arithmetic, and sums "
            "of products that are evaluated as such",
            x[wrong_B].detach().to(torch.float32),
            state.x[wrong_B].argmax(1),
        )


def leads(logits_BK: Tensor, y_B: Tensor) -> Tensor:
    """Logit of the true class minus each other one, shape (B, classes), float64; infinite at the true class itself.

    Where a logit is not finite, or there is no other class, all are 0.
    """
    logits_BK, index_B1 = logits_BK.to(torch.float64), y_B.to(torch.int64)[:, None]
    found_BK = (logits_BK.gather(1, index_B1) - logits_BK).scatter(1, index_B1, math.inf)
    sound_B1 = torch.isfinite(logits_BK).all(1, keepdim=True) & (logits_BK.shape[1] > 1)
    return torch.where(sound_B1, found_BK, 0.0)


def _last_rows(model: nn.Module, classes: int) -> tuple[Tensor, int] | None:
    """The rows of the logits of a linear layer that a model ends with, and how many modules it and what follows are."""
    modules = list(model) if type(model) is nn.Sequential else []
    count = 2 if modules and type(modules[-1]) is FitChannels else 1
    last = modules[-count] if len(modules) >= count else None
    if type(last) is not nn.Linear or last.out_features < classes:
        return None
    return last.weight[:classes].to(torch.float64), count
