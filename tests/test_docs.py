"""The documentation site builds without a warning, its code runs, and its commands are understood."""

import re
import shlex
import subprocess
import sys
from itertools import chain, pairwise, takewhile
from pathlib import Path

import pytest
import typer

import onelip
from onelip.cli import app

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def commands():
    """Every command of onelip that stands in a page, indented or between backticks."""
    found = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for indented, quoted in re.findall(r"^    (onelip .*)$|`(onelip [^`]*)`", text, re.MULTILINE):
            found[page.name, " ".join((indented or quoted).split()), bool(indented)] = None
    return list(found)


def test_the_site_builds_with_warnings_as_errors(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in tmp_path.glob("*.html")}
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= pages
    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    for name in ("lipschitz_bound", "certified_radius", "ConvNet", "CPLConv2d"):
        assert f'id="onelip.{name}"' in reference, name


def numbers(page, heading):
    """The lines of the table with such a heading: a method with what stands in each column."""
    lines = page.read_text(encoding="utf-8").splitlines()
    (start,) = (index for index, line in enumerate(lines) if line.startswith(heading))
    table = [line.strip("|").split("|") for line in takewhile(lambda line: line.startswith("|"), lines[start:])]
    titles, _, *rows = [[cell.strip() for cell in row] for row in table]
    return [dict(zip(titles, row, strict=True)) for row in rows]


def ends(ratios):
    """The least and the largest ratio in two digits, each with whose it is."""
    found = sorted(ratios)
    return [(f"{float(f'{ratio:.2g}'):,g}", name) for ratio, name in (found[0], found[-1])]


def test_the_ranges_of_what_is_charged_are_those_of_the_tables():
    """docs/certification.md, section 10: ratios in sentences are those of the numbers that stand beside them."""
    page = ROOT / "docs" / "certification.md"
    text = " ".join(page.read_text(encoding="utf-8").split())
    said = []
    for heading in (
        "| Method | Real | Float64 | Executed | Charged",
        "| Method | Real | Float64 | Executed | Executed",
    ):
        rows = numbers(page, heading)
        (low, lowest), (high, highest) = ends((float(r["Charged"]) / float(r["Measured"]), r["Method"]) for r in rows)
        said.append(f"{low} ({lowest}) to {high} times ({highest})")
    assert f"What is charged is {said[0]} what was measured here, and {said[1]} on CIFAR-10" in text
    rows = [row for row in numbers(page, "| Method | Width | Side") if row["Side"] == "32"]
    for title, sentence in (
        ("Charged", "charged {} ({}) to {} times as much ({}),"),
        ("Sums over all", "and {} ({}) to {} times ({}) where sums run over all channels"),
    ):
        grown = [
            (float(large[title]) / float(small[title]), small["Method"])
            for small, large in pairwise(rows)
            if small["Method"] == large["Method"]
        ]
        assert sentence.format(*chain(*ends(one for one in grown if one[1] != "Cayley"))) in text
        (low, _), (high, _) = ends(one for one in grown if one[1] == "Cayley")
        assert f"{low} to {high}" in text.partition("the 1x1 layers are left, and it is")[2][:60]


def test_what_the_float32_program_costs_is_said_alike_in_readme_proof_and_report():
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    rows = numbers(ROOT / "docs" / "certification.md", "| Method | Real | Float64 | Executed | Executed")
    columns = [{row["Method"]: row[name] for row in rows} for name in ("Executed over float64", "Time, 256", "Time, 1")]
    (low, high), (fast, slow) = ((min(one, key=one.get), max(one, key=one.get)) for one in columns[:2])
    assert f"keep {columns[0][low]} ({low}) to {columns[0][high]} (" in readme
    assert (
        f"at {columns[1][fast]} ({fast}) to {columns[1][slow]} times ({slow}) the time of the plain frozen network"
        in readme
    )
    report = (ROOT / "results" / "cpu" / "report.md").read_text(encoding="utf-8")
    for row in rows:
        parts = [row["Real"], row["Float64"], row["Executed"], columns[0][row["Method"]]]
        times = [rf"{re.escape(column[row['Method']])} \([^|]*" for column in columns[1:]]
        cells = r" \| ".join([row["Method"], "0", *(rf"{re.escape(one)}[^|]*" for one in parts[:3]), parts[3], *times])
        assert re.search(rf"^\| {cells}\|", report, re.MULTILINE), row["Method"]


def test_every_public_layer_is_in_the_reference():
    named = set(re.findall(r"onelip\.(\w+)", (ROOT / "docs" / "api.md").read_text(encoding="utf-8")))
    layers = {name for name in dir(onelip) if name.endswith("Conv2d")}
    assert layers - {"StandardConv2d"} <= named


def test_the_example_of_the_contract_runs(monkeypatch):
    """It takes the method that is written outside the package, and finds no fault with it."""
    monkeypatch.syspath_prepend(ROOT)
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "adding.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code) == 1
    assert "check_method(BRO)" in code[0]
    exec(compile(code[0], "adding.md", "exec"), {})


@pytest.mark.parametrize(("page", "command", "is_whole"), commands())
def test_every_command_in_the_documents_is_known_with_its_options(page, command, is_whole):
    """One that stands in a line of its own is read up to what it would do; in a sentence it may lack something."""
    found, words = typer.main.get_command(app), shlex.split(command, comments=True)[1:]
    with found.make_context("onelip", list(words)) as context:
        while words and hasattr(found, "resolve_command"):
            name, found, words = found.resolve_command(context, words)
            assert found is not None
        if words and words != ["--help"]:
            found.make_context(name, words, parent=context, resilient_parsing=not is_whole)
