"""1-Lipschitz layers for PyTorch, and a comparison of them that anyone can rerun.

The public names are loaded when they are first used, so that `onelip.bench.report` works on a machine without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bound import Bound as Bound
    from .certify import Certifier as Certifier
    from .certify import certified_program as certified_program
    from .certify import certified_radius as certified_radius
    from .certify import lipschitz_bound as lipschitz_bound
    from .certify import register_bound as register_bound
    from .certify.certificate import Certificate as Certificate
    from .certify.diagnose import LayerDiagnosis as LayerDiagnosis
    from .certify.diagnose import diagnose as diagnose
    from .certify.issue import issue_certificate as issue_certificate
    from .certify.verify import verify_certificate as verify_certificate
    from .cost import ConvShape as ConvShape
    from .cost import Cost as Cost
    from .cost import Memory as Memory
    from .cost import Theory as Theory
    from .method import Method as Method
    from .method import Traits as Traits
    from .methods import METHODS as METHODS
    from .methods.aol import AOLConv2d as AOLConv2d
    from .methods.aol import AOLLinear as AOLLinear
    from .methods.bcop import BCOPConv2d as BCOPConv2d
    from .methods.bcop import BCOPLinear as BCOPLinear
    from .methods.cayley import CayleyConv2d as CayleyConv2d
    from .methods.cayley import CayleyLinear as CayleyLinear
    from .methods.cpl import CPLConv2d as CPLConv2d
    from .methods.cpl import CPLLinear as CPLLinear
    from .methods.lot import LOTConv2d as LOTConv2d
    from .methods.lot import LOTLinear as LOTLinear
    from .methods.sll import SLLConv2d as SLLConv2d
    from .methods.sll import SLLLinear as SLLLinear
    from .methods.soc import SOCConv2d as SOCConv2d
    from .methods.soc import SOCLinear as SOCLinear
    from .methods.standard import StandardConv2d as StandardConv2d
    from .methods.standard import StandardLinear as StandardLinear
    from .models import ConvNet as ConvNet
    from .nn.activations import Abs as Abs
    from .nn.activations import GroupSort as GroupSort
    from .nn.activations import MaxMin as MaxMin
    from .nn.freeze import freeze as freeze
    from .nn.loss import MarginCrossEntropy as MarginCrossEntropy
    from .nn.reshape import Center as Center
    from .nn.reshape import Normalize as Normalize
    from .nn.sum import Sum as Sum

_HOMES = {
    "Abs": "nn.activations",
    "Bound": "bound",
    "Center": "nn.reshape",
    "Certificate": "certify.certificate",
    "Certifier": "certify",
    "ConvNet": "models",
    "ConvShape": "cost",
    "Cost": "cost",
    "GroupSort": "nn.activations",
    "LayerDiagnosis": "certify.diagnose",
    "METHODS": "methods",
    "MarginCrossEntropy": "nn.loss",
    "MaxMin": "nn.activations",
    "Memory": "cost",
    "Method": "method",
    "Normalize": "nn.reshape",
    "Sum": "nn.sum",
    "Theory": "cost",
    "Traits": "method",
    "certified_program": "certify",
    "certified_radius": "certify",
    "diagnose": "certify.diagnose",
    "freeze": "nn.freeze",
    "issue_certificate": "certify.issue",
    "lipschitz_bound": "certify",
    "register_bound": "certify",
    "verify_certificate": "certify.verify",
}


def _layers() -> dict[str, Any]:
    methods = import_module(".methods", __name__).METHODS.values()
    return {layer.__name__: layer for method in methods for layer in (method.conv2d, method.linear)}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    if name.endswith(("Conv2d", "Linear")) and name in (layers := _layers()):
        return layers[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*_HOMES, *_layers()])
