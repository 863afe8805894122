"""The description of the machine: true facts, and nothing that identifies a person or a host."""

import getpass
import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import torch

from onelip.bench.measure import machine
from onelip.bench.measure.machine import describe_machine, find_device
from onelip.errors import OnelipError, UnknownNameError

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", *author, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package in a checkout with one commit."""
    folder = tmp_path / "src" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return folder


def test_states_what_the_session_runs_on() -> None:
    described = describe_machine("cpu")
    assert described.device == "cpu"
    assert described.device_name == described.processor
    assert described.torch == torch.__version__
    assert described.python == platform.python_version()
    assert described.threads == torch.get_num_threads()
    assert 1 <= described.cores <= (os.cpu_count() or 1)
    assert 2**27 < described.memory_bytes < 2**50


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system grants cores to all processes alike")
def test_counts_only_the_cores_that_it_may_use() -> None:
    granted = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(granted)})
        assert describe_machine("cpu").cores == 1
    finally:
        os.sched_setaffinity(0, granted)


def test_names_no_host_user_or_path(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, function in ((platform, "node"), (socket, "gethostname"), (getpass, "getuser")):
        monkeypatch.setattr(module, function, lambda: "a private name")
    text = describe_machine("cpu").model_dump_json()
    assert "a private name" not in text
    assert str(machine.PACKAGE) not in text


def test_reads_the_processor_from_linux(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel\t\t: 1\nmodel name\t: Fast Chip: 2 GHz\nflags\t: a b\n")
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    assert describe_machine("cpu").processor == "Fast Chip: 2 GHz"


def test_falls_back_to_the_architecture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "missing")
    assert describe_machine("cpu").processor in (platform.processor(), platform.machine())


def test_a_package_that_is_not_installed_has_an_unknown_version() -> None:
    assert machine._version("a-package-that-nobody-has") == "unknown"


@needs_git
def test_names_the_commit_of_a_clean_checkout(package: Path) -> None:
    assert machine._commit(package) == git(package, "rev-parse", "HEAD")


@needs_git
@pytest.mark.parametrize("file", ["__init__.py", "untracked.py"])
def test_marks_a_changed_package(package: Path, file: str) -> None:
    (package / file).write_text("changed = True")
    assert machine._commit(package) == git(package, "rev-parse", "HEAD") + "-dirty"


@needs_git
def test_a_change_outside_the_package_does_not_matter(package: Path) -> None:
    (package.parent / "note.txt").write_text("changed")
    assert machine._commit(package) == git(package, "rev-parse", "HEAD")


@needs_git
def test_takes_no_commit_from_a_foreign_checkout(package: Path) -> None:
    installed = package.parents[1] / "environment" / "package"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    (package.parents[1] / ".gitignore").write_text("environment/\n")
    assert machine._commit(installed) is None


@needs_git
def test_is_not_misled_by_the_variables_of_a_git_hook(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(package / "elsewhere"))
    assert machine._commit(package) == git(package, "rev-parse", "HEAD")


@needs_git
def test_a_checkout_without_commits_has_none(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    assert machine._commit(tmp_path) is None


def test_does_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_machine("cpu").commit is None


@pytest.mark.parametrize("name", ["gpu", "meta", "", "cuda:x"])
def test_refuses_an_unknown_device(name: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"device is '{name}', must be 'cpu', 'cuda' or 'cuda:N'"):
        find_device(name)


def test_refuses_a_device_that_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OnelipError, match="PyTorch sees no CUDA device here"):
        find_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(OnelipError, match="device is 'cuda:2', must be below 'cuda:2' here"):
        find_device("cuda:2")
