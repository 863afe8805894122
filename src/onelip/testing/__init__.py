"""The public contract: what every method promises, as checks that anyone can run on a method of their own.

    from onelip.testing import check_method
    check_method(MY_METHOD)

or, one test per case:

    @pytest.mark.parametrize("case", cases(MY_METHOD), ids=str)
    def test_contract(case):
        case.run()

All layers are checked in eval mode, where every constant is proved; what is checked in training mode says so.
"""

from ..errors import ContractError as ContractError
from .contract import CHECKS as CHECKS
from .contract import Case as Case
from .contract import Check as Check
from .contract import cases as cases
from .contract import check_method as check_method
from .runtime import ddp_safe as ddp_safe
