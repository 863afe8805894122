"""Every series stands out from the page, and from every other series, for all kinds of colour vision."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from onelip.bench.report.groups import comparisons
from onelip.bench.report.palette import COLOURS, styles
from onelip.bench.report.promises import promises_drawing
from onelip.bench.results import Records

DARK = (False, True)

SEEN = {
    "all cones": np.eye(3),
    "no long": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "no middle": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "no short": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
"""Linear sRGB as seen without one kind of cone: Machado, Oliveira and Fernandes (2009), severity 1."""

TO_XYZ = np.array([[0.4125, 0.3576, 0.1804], [0.2127, 0.7152, 0.0722], [0.0193, 0.1192, 0.9503]])


def linear(colour):
    """WCAG 2.2 and IEC 61966-2-1: from the hexadecimal number to linear light."""
    channels = np.array([int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    dark, light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(light):
    x, y, z = np.cbrt(TO_XYZ @ light / TO_XYZ.sum(1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def series(dark):
    return [pair[dark] for name, pair in COLOURS.items() if name.startswith("series-")]


def test_contrast_by_hand():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("dark", DARK)
def test_every_series_has_the_contrast_that_graphics_need(dark):
    background = COLOURS["page"][dark]
    for colour in [*series(dark), COLOURS["yardstick"][dark]]:
        assert contrast(colour, background) >= 3, colour


@pytest.mark.parametrize("dark", DARK)
@pytest.mark.parametrize("seen", SEEN)
def test_series_are_told_apart(dark, seen):
    """CIE76 differences; 2.3 is just noticeable."""
    enough = 25 if seen == "all cones" else 12
    for pair in combinations(series(dark), 2):
        one, other = (lab(np.clip(SEEN[seen] @ linear(colour), 0, 1)) for colour in pair)
        assert np.linalg.norm(one - other) >= enough, pair


@pytest.mark.parametrize("dark", DARK)
def test_bars_of_the_arithmetics_stand_out_and_differ_by_more_than_their_colour(dark, sample_records):
    """What fills a bar, if anything, and its outline; bars of one colour differ in outline, hatching and tint."""
    (group,) = comparisons(Records(train=(run := sample_records.train_record("aol"),)))
    drawing = promises_drawing(group, [sample_records.arithmetics_record(run)], "name")
    (axes,) = drawing.figure.axes
    page, accent = (np.array(to_rgb(COLOURS[name][dark])) for name in ("page", "accent"))
    looks = []
    for bars in axes.containers:
        (bar,) = bars
        assert to_hex(bar.get_edgecolor()) == to_hex(bar.get_facecolor()) == COLOURS["accent"][0]
        alpha = bar.get_facecolor()[3]
        tint = to_hex((1 - alpha) * page + alpha * accent)
        assert (not alpha and bar.get_hatch()) or contrast(tint, COLOURS["page"][dark]) >= 3
        looks.append((alpha, bar.get_hatch()))
    assert contrast(COLOURS["accent"][dark], COLOURS["page"][dark]) >= 3, "outline and hatching"
    assert len(set(looks)) == 3


def test_figures_are_drawn_with_light_values_that_name_one_colour_each():
    """`svg.py` finds the variable of a colour by its light value."""
    light = [pair[0] for pair in COLOURS.values()]
    assert len(set(light)) == len(light)
    assert {style.colour for style in styles("abcdefg").values()} == set(series(dark=False))
