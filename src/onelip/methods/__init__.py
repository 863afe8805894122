"""The registry: one import line per method. `METHODS` maps a name to its record and cannot be changed."""

from collections.abc import Mapping
from types import MappingProxyType

from ..method import Method
from .aol import AOL as AOL
from .bcop import BCOP as BCOP
from .cayley import CAYLEY as CAYLEY
from .cpl import CPL as CPL
from .lot import LOT as LOT
from .sll import SLL as SLL
from .soc import SOC as SOC
from .standard import STANDARD as STANDARD

METHODS: Mapping[str, Method] = MappingProxyType({m.name: m for m in list(vars().values()) if isinstance(m, Method)})
