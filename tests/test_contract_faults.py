"""Each check of the contract can fail: a method with one planted fault is caught by the check that is there for it."""

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from onelip.bound import Bound
from onelip.errors import ContractError
from onelip.linalg.conv import spectral_matrices
from onelip.linalg.convolve import convolve
from onelip.linalg.estimates import conv_norm_estimate
from onelip.linalg.operators import conv_norm_bound, matrix_norm_bound
from onelip.method import Method
from onelip.methods import METHODS
from onelip.methods.aol import AOLConv2d
from onelip.methods.bcop import BCOPConv2d
from onelip.methods.cayley import CayleyConv2d
from onelip.methods.cpl import CPLConv2d, cpl_scale
from onelip.methods.lot import LOTConv2d
from onelip.methods.sll import SLLConv2d, sll_scale
from onelip.methods.soc import SOCConv2d
from onelip.methods.standard import StandardConv2d
from onelip.nn.freeze import FrozenLayer
from onelip.nn.memo import Memo
from onelip.nn.reshape import fit_channels
from onelip.testing import CHECKS, cases, ddp_safe


@dataclass(frozen=True)
class Fault:
    """A method with one fault, the check that is to catch it, and what that check is to say."""

    name: str
    check: str
    healthy: Method
    faulty: Method
    reason: str
    full: bool = False


FAULTS: list[Fault] = []


def plant(check: str, method: str, reason: str, *, full: bool = False) -> Callable[[type], type]:
    """Registers a faulty convolution in the place of a method's healthy one; `full` if the cover may miss the fault."""

    def register(layer: type) -> type:
        healthy = METHODS[method]
        FAULTS.append(Fault(layer.__name__, check, healthy, replace(healthy, conv2d=layer), reason, full))
        return layer

    return register


def declare(name: str, check: str, method: str, reason: str, **traits: bool) -> None:
    """Registers a method that declares a false trait."""
    healthy = METHODS[method]
    FAULTS.append(Fault(name, check, healthy, replace(healthy, traits=replace(healthy.traits, **traits)), reason))


# Norms that are too large


@plant("is_one_lipschitz", "cpl", "the norm is|the bound is")
class AnEstimateInEval(CPLConv2d):
    def scale(self, raw, image):
        return cpl_scale(conv_norm_estimate(raw[0], image, self.padding_mode, steps=1, refining=1))[..., None]


@plant("is_one_lipschitz", "cpl", "the norm is|the bound is")
class NormAtTheKernelsSize(CPLConv2d):
    def scale(self, raw, image):
        return super().scale(raw, (self.kernel_size, self.kernel_size))


@plant("is_one_lipschitz", "sll", "the norm is|the bound is")
class EpsilonOnTheWrongSide(SLLConv2d):
    def scale(self, raw, image):
        return super().scale(raw, image) + 1e-6


@plant("is_one_lipschitz", "lot", "the norm is|the bound is")
class PolynomialThatOvershoots(LOTConv2d):
    def construct(self, raw, image):
        return tuple(tensor * 1.00001 for tensor in super().construct(raw, image))


# Bounds that are too small, or too large


@plant("bound_is_sound", "standard", "but the norm is")
class BoundOne(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        return Bound(1.0, "because we say so")


@plant("bound_is_sound", "standard", "but the norm is")
class BoundByAnEstimate(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        estimate = conv_norm_estimate(weights[0], image, self.padding_mode, steps=1, refining=1)
        return Bound(float(estimate), "an estimate")


@plant("bound_is_sound", "standard", "but the norm is")
class BoundOfTheReshapedKernel(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        return Bound(float(matrix_norm_bound(weights[0].flatten(1))), "a norm of another operator")


@plant("bound_is_sound", "standard", "but the norm is")
class BoundOfTheCroppedKernel(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        spectrum = torch.fft.fft2(weights[0].double(), s=image).movedim((-2, -1), (0, 1))
        return Bound(float(torch.linalg.svdvals(spectrum).amax()) * (1 + 1e-9), "rfft2 crops larger kernels")


@plant("bound_is_sound", "standard", "but the norm is", full=True)
class BoundOnTheImagesTorusDespiteZeros(StandardConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        return Bound(float(conv_norm_bound(weights[0], image, "circular")), "of the circular operator")


@plant("bound_is_sound", "cpl", "but the norm is")
class BoundOfTheTwin(CPLConv2d):
    """The scale is rounded up on its way to the layer, and the bound speaks of what it was before."""

    def scale(self, raw, image):
        return super().scale(raw, image) * 1.001

    def realised_bound(self, weights, image, *, enough=0.0):
        return Bound(1.0, "by the paper's theorem")


@plant("bound_is_tight", "aol", "the bound is 1.0, but the norm is")
class BoundByTheoremOnly(AOLConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        return Bound(1.0, "Theorem 1")


@plant("bound_is_tight", "bcop", "but the norm is")
class BoundByFewSquarings(BCOPConv2d):
    def realised_bound(self, weights, image, *, enough=0.0):
        matrices = spectral_matrices(weights[0].double(), image)
        power = torch.linalg.matrix_power(matrices.mH @ matrices, 64)
        return Bound(float(torch.linalg.matrix_norm(power).amax()) ** (1 / 128), "loose")


# Numbers that are not finite


@plant("finite", "aol", "not finite")
class NoEpsilon(AOLConv2d):
    def kernel(self, raw):
        norm = raw[0].square().sum((-4, -3, -2, -1), keepdim=True).sqrt()
        return raw[0] / norm / self.kernel_size


@plant("finite", "bcop", "gradient of matrix in (eval|training) mode is missing or not finite")
class DerivativeOfTheDecomposition(BCOPConv2d):
    def _compose(self, factors):
        left, _, right = torch.linalg.svd(self.matrix.to(factors[0].dtype)[None], full_matrices=False)
        return super()._compose([left @ right, *factors[1:]])


# Operators that are not what they should be


@plant("preserves_norm_if_orthogonal", "lot", "the smallest singular value")
class TooFewNewtonSteps(LOTConv2d):
    def spectral(self, matrices, raw):
        matrices = matrices / torch.linalg.matrix_norm(matrices).clamp(min=1e-30)[..., None, None]
        for _ in range(10):
            matrices = 1.5 * matrices - 0.5 * matrices @ matrices.mH @ matrices
        return matrices


@plant("preserves_norm_if_orthogonal", "soc", "the smallest singular value")
class SeriesCutEarly(SOCConv2d):
    def apply_weights(self, x, weights):
        if self.kernel_size == 1:
            return super().apply_weights(x, weights)
        total = term = fit_channels(x, self.channels)
        for order in range(1, 5):
            term = convolve(term, weights[0] / order, None, self.padding_mode)
            total = total + term
        total = total[:, : self.out_channels]
        return total if self.bias is None else total + self.bias[:, None, None]


@plant("matches_dense_reference", "aol", "depends on the rest of its batch")
class NormalisedByTheBatch(AOLConv2d):
    def apply_weights(self, x, weights):
        return super().apply_weights(x / x.square().mean().clamp(min=1).sqrt(), weights)


@plant("matches_dense_reference", "standard", "shift of the image|not that of the dense operator")
class WrapsRowsOnly(StandardConv2d):
    def apply_weights(self, x, weights):
        half = self.kernel_size // 2
        if self.padding_mode == "zeros" or min(x.shape[2:]) < half:
            return super().apply_weights(x, weights)
        wrapped = torch.nn.functional.pad(x, (0, 0, half, half), mode="circular")
        return torch.nn.functional.conv2d(wrapped, weights[0], self.bias, padding=(0, half))


@plant("matches_dense_reference", "bcop", "not that of the dense operator|needs a `frozen` of its own")
class AppliesTheFlippedKernel(BCOPConv2d):
    def apply_weights(self, x, weights):
        return super().apply_weights(x, (weights[0].flip(-1),))


# Gradients


@plant("every_parameter_learns", "sll", "the gradient of q .* is zero in rows")
class DeadQ(SLLConv2d):
    def scale(self, raw, image):
        return sll_scale(raw[0], raw[1].abs().mean(-1, keepdim=True).expand_as(raw[1]))


@plant("every_parameter_learns", "bcop", "frames takes no part|the gradient of frames .* is zero in rows")
class DetachedFrames(BCOPConv2d):
    def construct(self, raw, image):
        return super().construct((raw[0], *(tensor.detach() for tensor in raw[1:])), image)


@plant("every_parameter_learns", "cayley", "alpha takes no part|the gradient of alpha .* is zero in rows")
class AlphaIsDividedOut(CayleyConv2d):
    def free_kernel(self, raw):
        kernel = super().free_kernel(raw)
        return kernel / torch.linalg.vector_norm(kernel, dim=(-4, -3, -2, -1), keepdim=True).clamp(min=1e-30)


@plant("gradients_are_right", "aol", "Jacobian mismatch")
class StraightThrough(AOLConv2d):
    def kernel(self, raw):
        return super().kernel(raw).detach() + raw[0] - raw[0].detach()


@plant("gradients_are_right", "cpl", "Jacobian mismatch|in training mode the gradient of parameter")
class DetachedNormInTraining(CPLConv2d):
    def scale(self, raw, image):
        scale = super().scale(raw, image)
        return scale.detach() if self.training else scale


# Freezing, keeping, saving, copying


class ThawingLayer(FrozenLayer):
    train = nn.Module.train


@plant("freeze_changes_nothing", "soc", "in training mode")
class ThawsInTraining(SOCConv2d):
    def frozen(self, image):
        return ThawingLayer(self, self.realise(image), image)


@plant("freeze_changes_nothing", "lot", "computes something else")
class LosesTheBias(LOTConv2d):
    def frozen(self, image):
        frozen = super().frozen(image)
        frozen.skeleton.bias = None
        return frozen


class MemoWithoutVersions(Memo):
    def get(self, raw, image):
        return self._kept[image][1] if image in self._kept else None


class MemoWithoutImages(Memo):
    def put(self, raw, image, weights):
        super().put(raw, (0, 0), weights)

    def get(self, raw, image):
        return super().get(raw, (0, 0))


class MemoWithoutDtypes(Memo):
    def clear(self):
        pass


@plant("memo_never_stale", "aol", "stale weights")
class KeepsWithoutVersions(AOLConv2d):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._memo = MemoWithoutVersions()


@plant("memo_never_stale", "cpl", "another image size")
class KeepsWithoutImages(CPLConv2d):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._memo = MemoWithoutImages()


@plant("memo_never_stale", "sll", "after a fused optimiser step")
class NeverForgets(SLLConv2d):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._memo = MemoWithoutDtypes()


@plant("memo_never_stale", "bcop", "hide a parameter's gradient|does not require grad")
class KeepsDespiteGradients(BCOPConv2d):
    def memo_allowed(self):
        return not self.training


@plant("memo_never_stale", "aol", "functional_call reads kept weights|stale weights")
class KeepsForever(AOLConv2d):
    def weights(self, image):
        if self.training or torch.is_grad_enabled():
            return super().weights(image)
        if not hasattr(self, "kept"):
            self.kept = {}
        key = image, self.weight.dtype
        return self.kept.setdefault(key, super().weights(image))


@plant("state_dict_round_trip", "standard", "with a missing or a surplus key was loaded")
class LoadsAnything(StandardConv2d):
    def load_state_dict(self, state_dict, strict=True, assign=False):
        return super().load_state_dict(state_dict, strict=False, assign=assign)


@plant("state_dict_round_trip", "cpl", "changed the state's keys|other things than parameters")
class VectorMadeInTheFirstForward(CPLConv2d):
    def apply_weights(self, x, weights):
        self.register_buffer("vector", x[:1].clone())
        return super().apply_weights(x, weights)


@plant("state_dict_round_trip", "cayley", "something else after loading")
class ScaleOutsideTheState(CayleyConv2d):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.hidden = torch.rand(())

    def free_kernel(self, raw):
        return super().free_kernel(raw) * self.hidden.to(raw[0].dtype)


@plant("copies_are_independent", "standard", "changed the layer")
class CopiesShareParameters(StandardConv2d):
    def __deepcopy__(self, memo):
        return copy.copy(self)


@plant("copies_are_independent", "aol", "still computes the old output")
class CopiesKeepWeights(AOLConv2d):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._memo = MemoWithoutVersions()

    def __getstate__(self):
        return self.__dict__


@plant("deterministic_given_seed", "cpl", "draws random numbers of torch")
class RandomStart(CPLConv2d):
    def scale(self, raw, image):
        start = torch.randn(raw[0].shape, dtype=raw[0].dtype)
        return super().scale((raw[0] + 0.0 * start,), image)


@plant("deterministic_given_seed", "standard", "under one seed differ")
class SeedsItself(StandardConv2d):
    made = 0

    def reset_parameters(self, role="block"):
        SeedsItself.made += 1
        nn.init.normal_(self.weight, generator=torch.Generator().manual_seed(SeedsItself.made))
        nn.init.zeros_(self.bias) if self.bias is not None else None


# Compiling, autocast, processes


@plant("compiles", "aol", "data-dependent")
class BranchesOnData(AOLConv2d):
    def kernel(self, raw):
        return super().kernel(raw) if bool((raw[0] < 1e30).all()) else raw[0]


@plant("autocast_safe", "aol", "autocast reaches the construction")
class ConstructsUnderAutocast(AOLConv2d):
    def weights(self, image):
        return tuple(tensor[0] for tensor in self.construct(tuple(tensor[None] for tensor in self.raw()), image))


@plant("autocast_safe", "lot", "forward constructs other weights")
class AppliesRoundedWeights(LOTConv2d):
    def forward(self, x, weights=None):
        if weights is None and torch.is_autocast_enabled("cpu"):
            image = self.inner_image(x.shape[2:])
            weights = tuple(tensor.bfloat16().to(tensor.dtype) for tensor in self.weights(image))
        return super().forward(x, weights)


class DependsOnTheBatch(AOLConv2d):
    def apply_weights(self, x, weights):
        return super().apply_weights(x / x.square().mean().clamp(min=0.01).sqrt(), weights)


# Declarations, options and arguments

declare("AffineAnyway", "declared_traits_hold", "aol", "nonlinear is declared True", nonlinear=True)
declare("ActivationInside", "declared_traits_hold", "sll", "nonlinear is declared False", nonlinear=False)
declare("NotOrthogonal", "declared_traits_hold", "aol", "orthogonal is declared True", orthogonal=True)
declare("TiedToImages", "declared_traits_hold", "cpl", "image_bound is declared False", image_bound=False)
declare("NotTiedToImages", "declared_traits_hold", "soc", "image_bound is declared True", image_bound=True)
declare("Unconstrained", "declared_traits_hold", "standard", "constrained is declared False", orthogonal=False)
FAULTS[-1] = replace(
    FAULTS[-1], faulty=replace(METHODS["aol"], traits=replace(METHODS["aol"].traits, constrained=False))
)


@plant("declared_traits_hold", "bcop", "nonlinear is declared False, and observed True")
class SortsItsOutput(BCOPConv2d):
    def apply_weights(self, x, weights):
        return super().apply_weights(x, weights).sort(dim=1).values


@plant("options_matter", "soc", "padding_mode")
class IgnoresThePadding(SOCConv2d):
    def __init__(self, *args, padding_mode=None, **options):
        super().__init__(*args, **options)


@plant("options_matter", "aol", "padding_mode makes no difference")
class KeepsThePaddingUnread(AOLConv2d):
    def apply_weights(self, x, weights):
        mode, self.padding_mode = self.padding_mode, "zeros"
        try:
            return super().apply_weights(x, weights)
        finally:
            self.padding_mode = mode


@plant("options_matter", "lot", "the bias makes no difference")
class IgnoresTheBias(LOTConv2d):
    def apply_weights(self, x, weights):
        output = super().apply_weights(x, weights)
        return output if self.bias is None else output - self.bias[:, None, None]


@plant("options_matter", "aol", "a 1x1 kernel reaches 9 pixels")
class AtLeastThree(AOLConv2d):
    def __init__(self, in_channels, out_channels, kernel_size, **options):
        super().__init__(in_channels, out_channels, max(kernel_size, 3), **options)


@plant("options_matter", "standard", "dtype is not read")
class AlwaysFloat32(StandardConv2d):
    def __init__(self, *args, dtype=None, **options):
        super().__init__(*args, dtype=torch.float64 if len(args) == 3 and args[1] == args[0] else None, **options)


@plant("bad_arguments_raise", "cayley", "stride = 0 was accepted")
class TakesAnyStride(CayleyConv2d):
    def __init__(self, *args, stride=1, **options):
        super().__init__(*args, stride=2 if stride == 2 else 1, **options)


@plant("bad_arguments_raise", "bcop", "the message should name kernel_size and 2")
class SaysNothing(BCOPConv2d):
    def __init__(self, *args, kernel_size=3, **options):
        if kernel_size == 2:
            raise ValueError("invalid argument")
        super().__init__(*args, kernel_size=kernel_size, **options)


@plant("bad_arguments_raise", "aol", "weight = NaN or inf was accepted")
class CollapsedIsOne(AOLConv2d):
    def bound(self, image):
        self.inner_image(image)
        return Bound(max(1.0, float(torch.linalg.vector_norm(self.weight))), "max(1, NaN) is 1")


@plant("bad_arguments_raise", "standard", "pixel_unshuffle expects")
class CropsOddImages(StandardConv2d):
    def inner_image(self, image):
        return image[0] // self.stride, image[1] // self.stride


def first_failure(fault: Fault) -> ContractError:
    """What the check says of the faulty method."""
    for case in cases(fault.faulty, full=fault.full):
        if case.check == fault.check:
            try:
                case.run()
            except ContractError as error:
                return error
    pytest.fail(f"{fault.check} did not catch {fault.name}")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.check}-{fault.name}")
def test_fault_is_caught_by_its_check(fault):
    error = first_failure(fault)
    assert error.check == fault.check
    assert re.search(fault.reason, str(error)), f"caught for another reason: {error}"
    healthy = {case.id: case for case in cases(fault.healthy, full=fault.full) if case.check == fault.check}
    healthy[error.case].run()


def test_a_layer_that_mixes_its_batch_is_caught_by_two_processes(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent.parent)  # the processes import this file to find the layer
    with pytest.raises(Exception, match=r"aol: the averaged gradient of .* is not that of the whole batch"):
        ddp_safe(replace(METHODS["aol"], conv2d=DependsOnTheBatch))


def test_every_check_has_a_fault():
    caught = {fault.check for fault in FAULTS} | {"ddp_safe"}
    assert caught | {"compiles_to_machine_code"} == set(CHECKS)
