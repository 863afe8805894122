"""`benchmarks/rounding.py`: what float32 adds at most, as a table; bad requests are refused before it begins."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "rounding.py"
SMALL = ("--methods", "aol", "--widths", "4", "--sides", "8")


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("rounding_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = typer.Typer()
    app.command()(module.main)
    return lambda *arguments: CliRunner().invoke(app, [*SMALL, *arguments])


def test_a_line_for_each_network(command):
    result = command("--methods", "aol,sll", "--widths", "4,6")
    assert result.exit_code == 0, result.stderr
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    assert [line[:3] for line in lines] == [[name, width, "8"] for name in ("AOL", "SLL") for width in ("4", "6")]
    charged, over_all = head.index("Charged"), head.index("Sums over all")
    assert all(0 < float(line[charged]) <= float(line[over_all]) < 0.01 for line in lines)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--widths", "a"), "--widths 'a' is not allowed; give whole numbers"),
        (("--sides", "8,8.5"), "--sides '8,8.5' is not allowed; give whole numbers"),
        (("--methods", "aol,aolx"), "'aolx' is not one of aol"),
        (("--widths", "4,2"), "width 2 is too small"),
        (("--sides", "8,9"), "not 9"),
    ],
)
def test_what_cannot_be_measured_is_said_before_the_table(command, options, said):
    result = command(*options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
