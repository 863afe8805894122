"""The names that `onelip` shows: all there, also by `from onelip import *`, and no others."""

import pytest

import onelip


def test_every_name_can_be_had():
    assert all(getattr(onelip, name) is not None for name in dir(onelip))


def test_a_star_import_gives_the_public_names():
    names = {}
    exec("from onelip import *", names)
    assert set(names) - {"__builtins__"} == set(dir(onelip))
    assert {"ConvNet", "METHODS", "AOLConv2d", "SOCLinear", "certified_radius"} <= set(names)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="AolConv2d"):
        onelip.AolConv2d  # noqa: B018
