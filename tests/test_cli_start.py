"""What the program does before it does anything: help, versions, and machines that lack a package."""

import json
import os
import platform
import subprocess
import sys

import pytest

WITHOUT = """
import sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
from onelip.__main__ import main
main()
"""

COMMANDS = (
    *(
        "compare",
        "grid",
        "methods",
        "data",
        "train",
        "replay",
        "certify",
        "verify",
        "diagnose",
        "measure",
        "budget",
        "report",
        "reproduce",
        "recommend",
        "guidelines",
        "theory",
    ),
)


def without(packages, *arguments, folder=None):
    """Runs the program in a process where some packages cannot be imported."""
    environment = os.environ | {"COLUMNS": "80", "NO_COLOR": "1"}
    command = [sys.executable, "-c", WITHOUT, packages, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def test_help_needs_no_torch():
    result = without("torch,numpy", "--help")
    assert result.returncode == 0
    assert all(command in result.stdout for command in COMMANDS)
    assert "onelip compare --data digits" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_in_80_columns(command):
    from typer.testing import CliRunner

    from onelip.cli import app

    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80", "TERM": "dumb"}, prog_name="onelip")
    assert result.exit_code == 0
    assert f"Usage: onelip {command}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_report_needs_no_torch(tmp_path, sample_records):
    sample_records.demo(tmp_path)
    result = without("torch", "report", ".", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "CPL" in result.stdout
    assert result.stdout.rstrip().endswith("Report: report.html")
    assert "CPL" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_report_for_a_script_needs_no_torch(tmp_path, sample_records):
    sample_records.demo(tmp_path)
    result = without("torch", "report", tmp_path, "--json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert {row["method"] for row in content["rows"]} >= {"aol", "cpl", "standard"}
    assert content["verdict"]
    assert content["html"] == str(tmp_path / "report.html")


def test_published_numbers_need_no_torch(tmp_path, sample_records):
    sample_records.study(tmp_path)
    result = without("torch", "reproduce", tmp_path, "--json")
    assert result.returncode == 0, result.stderr
    assert {"not comparable", "nothing published"} == {cell["verdict"] for cell in json.loads(result.stdout)}
    result = without("torch", "reproduce", ".", folder=tmp_path)
    assert "published cells have no record" in result.stdout, result.stderr


def test_a_command_that_needs_torch_says_so():
    result = without("torch", "compare")
    assert result.returncode == 2
    assert result.stderr.startswith("onelip: this command needs torch")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_packages_of_the_command_line(package):
    result = without(package, "report", ".")
    assert result.returncode != 0
    assert package in result.stderr
    assert 'pip install "onelip[bench]"' in result.stderr
    assert "Traceback" not in result.stderr


def test_methods_lists_the_registry():
    from typer.testing import CliRunner

    from onelip import METHODS
    from onelip.cli import app

    result = CliRunner().invoke(app, ["methods", "--json"])
    listed = {entry["name"]: entry for entry in json.loads(result.stdout)}
    assert list(listed) == list(METHODS)
    assert all(listed[name]["title"] == method.title for name, method in METHODS.items())
    assert all(listed[name]["traits"]["constrained"] == method.traits.constrained for name, method in METHODS.items())
    table = CliRunner().invoke(app, ["methods"]).stdout
    assert all(method.name in table and method.title in table for method in METHODS.values())


def test_version():
    from typer.testing import CliRunner

    from onelip.cli import app

    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("onelip ")


TAKES_AND_FREES = """
import ctypes, resource
from onelip.__main__ import keep_memory
keep_memory()
libc, size = ctypes.CDLL(None), 2**24
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
libc.malloc.argtypes, libc.memset.argtypes = [ctypes.c_size_t], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = held()
for _ in range(3):
    blocks = [libc.malloc(size) for _ in range(8)]
    for block in blocks:
        libc.memset(block, 1, size)
    for block in reversed(blocks):
        libc.free(block)
print(round((held() - before) / size))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that gives memory back")
@pytest.mark.parametrize(("chosen", "kept"), [({}, 8), ({"MALLOC_ARENA_MAX": "8"}, 0)])
def test_freed_memory_is_kept_for_the_next_step_unless_the_user_chose(chosen, kept):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", TAKES_AND_FREES]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment | chosen)
    assert int(found.stdout) == kept
