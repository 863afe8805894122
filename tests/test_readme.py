"""What the README says is so."""

import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onelip import METHODS
from onelip.bench import overhead
from onelip.bench.overhead import OverheadRecord
from onelip.bench.report import growth
from onelip.bench.report.build import build_report
from onelip.bench.report.export import FIGURE_KINDS
from onelip.cli import app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_table_of_methods_is_the_generated_one():
    table = re.search(r"<!-- methods: onelip methods --markdown -->\n(.*?)<!-- end of methods -->", README, re.DOTALL)
    result = CliRunner().invoke(app, ["methods", "--markdown"])
    assert result.exit_code == 0
    assert table.group(1) == result.stdout


def test_the_twelve_lines_build_train_and_certify(capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL).group(1)
    assert len([line for line in code.splitlines() if line]) <= 12
    exec(compile(code, "README.md", "exec"), {})
    share = float(
        re.fullmatch(r"([\d.]+)% of unseen digits are certified at radius 36/255\n", capsys.readouterr().out)[1]
    )
    assert share > 30


@pytest.mark.parametrize("command", ["make demo", "make test"])
def test_both_commands_are_there_and_are_targets(command):
    assert command in README
    assert f"\n{command.split()[1]}:" in (ROOT / "Makefile").read_text()


def test_every_file_that_is_linked_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_every_method_cites_an_entry_of_the_bibliography():
    entries = set(re.findall(r"^@\w+\{([^,]+),", (ROOT / "references.bib").read_text(), re.MULTILINE))
    assert {method.cite for method in METHODS.values()} <= entries


def test_no_method_is_named_outside_its_own_file():
    """Code asks traits, never a name: each name stands in its own file, the registry and the table of public names."""
    allowed = {"methods", "__init__.py"}
    for path in (ROOT / "src").rglob("*.py"):
        relative = path.relative_to(ROOT / "src" / "onelip")
        if relative.parts[0] in allowed:
            continue
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        for name in METHODS:
            assert not re.search(rf"""["']{name}["']""", code), f"{relative} names {name}"


@pytest.mark.parametrize(("folder", "document"), [("cpu", "README.md"), ("speed", "docs/speed.md")])
def test_the_results_are_those_of_the_records(folder, document, tmp_path):
    """The tables in the documents, and the committed pages, are what the committed records give."""
    committed, rebuilt = ROOT / "results" / folder, tmp_path / folder
    shutil.copytree(committed, rebuilt)
    build_report(rebuilt)
    pages = sorted(path.name for path in committed.glob("report*"))
    assert {"report.html", "report.md"} <= set(pages)
    for name in pages:
        assert (rebuilt / name).read_bytes() == (committed / name).read_bytes()
    marks = rf"<!-- results: onelip report results/{folder} -->\n(.*?)<!-- end of results -->"
    block = re.search(marks, (ROOT / document).read_text(), re.DOTALL).group(1)
    report = (rebuilt / "report.md").read_text()
    for paragraph in block.strip().split("\n\n"):
        assert paragraph in report


def test_the_published_numbers_beside_the_results_are_those_of_the_records():
    marks = r"<!-- results: onelip reproduce results/cpu --markdown -->\n(.*?)<!-- end of results -->"
    result = CliRunner().invoke(app, ["reproduce", str(ROOT / "results" / "cpu"), "--markdown"])
    assert result.exit_code == 0
    assert re.search(marks, README, re.DOTALL).group(1) == result.stdout


def test_the_overhead_of_the_loop_is_that_of_the_record():
    record = OverheadRecord.model_validate_json((ROOT / "results" / "loop" / "loop.json").read_text())
    table = (ROOT / "results" / "loop" / "loop.md").read_text()
    assert table == overhead.markdown(record)
    assert table in (ROOT / "docs" / "speed.md").read_text()


def test_the_growth_of_costs_is_that_of_the_record():
    record = growth.GrowthRecord.model_validate_json((ROOT / "results" / "growth" / "growth.json").read_text())
    assert (ROOT / "results" / "growth" / "growth.md").read_text() == growth.markdown(record)
    figure = FIGURE_KINDS[".svg"](growth.growth_drawing(record))
    assert (ROOT / "results" / "growth" / "growth.svg").read_bytes() == figure
    assert (ROOT / "results" / "growth" / "growth.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("choosing.md", "guidelines"),
        ("theory.md", "theory --table --markdown"),
    ],
)
def test_generated_pages_are_what_their_commands_print(page, command):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    block = re.search(rf"<!-- \w+: onelip {command} -->\n(.*?)<!-- end of \w+ -->", text, re.DOTALL)
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 0
    assert block.group(1) == result.stdout


def test_formulas_beside_measurements_are_those_of_the_records(tmp_path):
    command = ["theory", "--against", str(ROOT / "results" / "speed"), "--out", str(tmp_path)]
    assert CliRunner().invoke(app, command).exit_code == 0
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(path.name for path in (ROOT / "results" / "theory").iterdir())
    for name in written:
        if not name.endswith(".pdf"):  # which another version of its compression writes otherwise
            assert (tmp_path / name).read_bytes() == (ROOT / "results" / "theory" / name).read_bytes(), name
