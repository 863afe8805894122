import gc
import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _imports_are_no_garbage():
    """Measurements collect garbage again and again; looking at all that imports made takes a fifth of a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def sample_records():
    """The module `report_samples`: invented records. Test modules are not importable by name here."""
    spec = importlib.util.spec_from_file_location("report_samples", Path(__file__).with_name("report_samples.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
