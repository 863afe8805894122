"""Certificates: proved Lipschitz bounds of whole models, and the radii that follow from them."""

from . import modules as modules  # registers the rules of torch's plain modules
from . import pointwise as pointwise
from . import pooling as pooling
from .lipschitz import lipschitz_bound as lipschitz_bound
from .lipschitz import register_bound as register_bound
from .program import Program as Program
from .program import certified_program as certified_program
from .radius import Arithmetic as Arithmetic
from .radius import Certifier as Certifier
from .radius import certified_radius as certified_radius
from .rounding import register_rounding as register_rounding
