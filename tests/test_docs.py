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
    page = ROOT / "docs" / "certification.md"
    proof, readme = (" ".join(path.read_text(encoding="utf-8").split()) for path in (page, ROOT / "README.md"))
    rows = {row.pop("Method"): row for row in numbers(page, "| Method | Real | Float64 | Executed | Executed")}
    assert rows.keys() == {"AOL", "BCOP", "CPL", "Cayley", "LOT", "SLL", "SOC"}

    def spread(name, *, of, times=1.0):
        found = ends((times * float(rows[method][name]), method) for method in of)
        return [number for number, _ in found], [method for _, method in found]

    inside = {"Cayley", "LOT"}
    kernels = rows.keys() - inside
    (least, most), (worst, best) = spread("Executed over float64", of=kernels, times=100)
    (fast, slow), (first, last) = spread("Time, 256", of=rows)
    assert f"keep {least} ({worst}) to {most} % ({best}) of what is certified in float64" in proof
    assert f"the seven methods keep 0.{least} ({worst}) to 1.00 (LOT) of what float64 certifies" in readme
    assert rows["LOT"]["Executed over float64"] == "1.00"
    assert f"at {fast} ({first}) to {slow} times ({last}) the time of the plain frozen network" in readme
    batches = [spread("Time, 256", of=methods)[0] for methods in (kernels, inside)]
    for (low, high), beginning in zip(batches, ("in float64, at", "% of it, at"), strict=True):
        assert f"{beginning} {low} to {high} times" in proof
    (low, high), _ = spread("Time, 1", of=rows)
    assert f"single images take {low} to {high} times as long" in proof
    report = (ROOT / "results" / "cpu" / "report.md").read_text(encoding="utf-8")
    for method, row in rows.items():
        cells = (rf"{re.escape(cell)}( \([^|]*\))?" for cell in row.values())
        line = r" \| ".join([method, "0", *cells])
        assert re.search(rf"^\| {line} \|$", report, re.MULTILINE), method


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
