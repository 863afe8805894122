"""`onelip grid`, searches and several processes, from the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise

import pytest
import torch
from typer.testing import CliRunner

from onelip.bench.choice import best_run
from onelip.bench.grids import GRIDS
from onelip.bench.place import place_of
from onelip.bench.results import RECORD_NAME, load_records
from onelip.bench.search import STORAGE_NAME
from onelip.bench.shared import SharedFolder
from onelip.cli import app

SMALL = ("--methods", "aol,cpl", "--sizes", "4", "--budget", "2epochs", "--no-costs")
SEARCH = ("--search", "3", "--search-budget", "1epoch")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("ONELIP_DATA", raising=False)
    return tmp_path


def onelip(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def started(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "onelip", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def what_came_out(folder):
    """Everything of the records that does not depend on the clock or on who wrote them."""
    found = {}
    for run in load_records(folder).train:
        facts = run.model_dump(exclude={"seconds", "started", "history", "evaluation"})
        facts["history"] = [epoch.model_dump(exclude={"seconds", "images_per_second"}) for epoch in run.history]
        facts["evaluation"] = run.evaluation.model_dump(exclude={"seconds"})
        found[run.cell.id] = facts
    return found


def test_all_grids_are_listed():
    listed = onelip("grid")
    assert listed.exit_code == 0
    assert all(re.search(rf"^ ?{name} .*\d", listed.stdout, re.MULTILINE) for name in GRIDS)


def test_what_a_grid_takes_is_said_before_it_runs(here):
    part = ("--data", "cifar10,imagenette", "--sizes", "XS,S", "--methods", "aol,bcop", "--budget", "10m,2h")
    shown = onelip("grid", "paper", "--dry-run", *part)
    assert shown.exit_code == 0, shown.stderr
    assert "paper: 108 runs, with budgets of 10m and 2h, and seeds 0." in shown.stdout
    assert re.search(r"All +96 +12 +205\.0 +\d+ MB", shown.stdout)
    assert "Left out, aol, bcop XS on imagenette: width 2 is too small" in shown.stdout
    assert "onelip data fetch" in shown.stdout
    assert not list(here.iterdir())
    facts = json.loads(onelip("grid", "paper", "--dry-run", "--json").stdout)
    assert sum(row["trials"] + row["finals"] for row in facts["networks"]) == 2100
    assert sum(row["seconds"] for row in facts["networks"]) == pytest.approx(7157.5 * 3600)
    assert {row["data"] for row in facts["not_here"]} == {"cifar10", "cifar100", "tiny_imagenet", "imagenette"}
    assert {(row["data"], row["size"]) for row in facts["impossible"]} == {("imagenette", "XS")}


def test_a_part_of_a_grid_and_a_method_of_ones_own(here):
    changed = ("--data", "digits", "--sizes", "4,8", "--budget", "1epoch", "--seeds", "1,2")
    own = ("--methods", "aol", "--method", "examples.block_reflector:BRO")
    facts = json.loads(onelip("grid", "cpu", "--dry-run", "--json", *changed, *own, *SEARCH).stdout)
    assert facts["grid"]["seeds"] == [1, 2]
    assert facts["grid"]["search"]["draws"] == 3
    assert facts["grid"]["search"]["learning_rate"] == [0.01, 10.0], "the grid's own space"
    assert [(row["size"], row["methods"], row["trials"], row["finals"]) for row in facts["networks"]] == [
        ("4", 2, 6, 4),
        ("8", 2, 6, 4),
    ]


def test_what_cannot_run_here_is_refused_together_before_anything_starts(here):
    refused = onelip("grid", "paper", "--data", "digits,cifar10,tiny_imagenet", *SMALL)
    assert refused.exit_code == 2
    assert re.search(r"aol, cpl 4 on cifar10: .*--data-dir", refused.stderr)
    assert re.search(r"aol, cpl 4 on tiny_imagenet: .*--data-dir", refused.stderr)
    assert "4 networks cannot be trained here, nothing was begun; --skip leaves out" in refused.stderr
    assert not list(here.iterdir())
    skipped = onelip("grid", "paper", "--data", "digits,cifar10", *SMALL, *SEARCH, "--skip")
    assert skipped.exit_code == 0, skipped.stderr
    assert "Skipped, aol, cpl 4 on cifar10" in skipped.stdout
    assert {run.cell.data for run in load_records(here / "paper").train} == {"digits"}
    nothing = onelip("grid", "paper", "--data", "cifar10", *SMALL, "--skip")
    assert nothing.exit_code == 2
    assert "nothing of the grid is left" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grid", "papr"), "did you mean paper"),
        (("grid", "demo", "--budget", "soon"), "budget 'soon' is not allowed"),
        (("grid", "cpu", "--sampler", "best"), "sampler 'best' is not one of random, tpe, gp"),
        (("grid", "demo", "--search", "3"), "a search needs --search-budget"),
        (("grid", "cpu", "--search-rates", "1,0.1"), "--search-rates '1,0.1' is not allowed"),
        (("grid", "cpu", "--search-decays", "0,1"), "--search-decays '0,1' is not allowed"),
        (("grid", "cpu", "--search-decays", "none", "--search-rates", "1,1"), "nothing varies: 10 trials would be one"),
        (("grid", "demo", "--limit", "2epochs"), "--limit '2epochs' is not allowed"),
        (("grid", "demo", "--data", "nothing"), "'nothing' is unknown"),
        (("compare", "--search", "3"), "a search needs --search-budget"),
        (("compare", *SEARCH, "--scan", "0.1", "--scan-budget", "1s"), "--scan and --search exclude each other"),
        (("compare", "--pruner", "median"), "a search needs --search, how many trials and --search-budget"),
        (("compare", *SEARCH, "--pruner", "all"), "pruner 'all' is not one of none, median"),
        (("compare", "--kernel-size", "2"), "kernel size '2' is not one of 1, 3, 5"),
        (("compare", "--padding", "circular,none"), "padding 'none' is not one of"),
        (("compare", "--budget", ""), "budget '' is not allowed"),
        (("grid", "demo", "--sizes", "XS,Small"), "size 'Small' is not one of XS, S, M, L"),
        (("grid", "paper", "--dry-run", "--sizes", "Q"), "size 'Q' is not one of"),
        (("grid", "paper", "--dry-run", "--data", "tiny_imagenet@big"), "'tiny_imagenet@big' is no data set"),
        (("grid", "paper", "--dry-run", "--data", "digits@4"), "have one size and cannot be resized"),
        (("grid", "demo", "--json"), "--json belongs to onelip grid NAME --dry-run"),
        (("grid", "--json", "--dry-run"), "--json belongs to onelip grid NAME --dry-run"),
        (("grid", "demo", "--methods", ""), "names no method"),
        (("grid", "demo", "--sizes", ""), "names no size"),
        (("grid", "demo", "--data", ""), "--data names no data set"),
    ],
)
def test_wrong_options_are_refused(arguments, message, here):
    refused = onelip(*arguments)
    assert refused.exit_code == 2, refused.stdout
    assert message in refused.stderr
    assert not list(here.iterdir())


def test_a_search_chooses_learning_rate_and_weight_decay(here):
    command = ("grid", "demo", *SMALL, *SEARCH, "--seeds", "0,1", "--out", "out")
    found = onelip(*command)
    assert found.exit_code == 0, found.stderr
    assert "optuna-dashboard sqlite:///out/search.db" in found.stdout
    runs = load_records(here / "out").train
    for method in ("aol", "cpl"):
        trials = [run for run in runs if (run.cell.method, run.cell.evaluate_on) == (method, "validation")]
        finals = [run for run in runs if (run.cell.method, run.cell.evaluate_on) == (method, "test")]
        assert len({run.cell.recipe.learning_rate for run in trials}) == len(trials) == 3
        assert {run.cell.recipe for run in finals} == {best_run(trials).cell.recipe}
        assert sorted(run.cell.seed for run in finals) == [0, 1]
        assert all((here / "out" / run.cell.id / "model.safetensors").exists() for run in finals)
        assert not any((here / "out" / run.cell.id / "model.safetensors").exists() for run in trials)
    again = onelip(*command)
    assert again.stdout.count("(done before)") == 10
    more = onelip(*command[:-2], "--search", "4", "--out", "out")
    assert "6 of 12 runs to do" in more.stdout, "two trials, and what may be chosen anew after them"


def test_a_sampler_that_learns_draws_when_the_trial_before_has_ended(here):
    """Also where the comparison is announced, which must not draw all of them beforehand."""
    import optuna

    command = ("compare", *SMALL, "--search", "4", "--search-budget", "1epoch", "--sampler", "tpe", "--out", "out")
    assert onelip(*command).exit_code == 0
    storage = f"sqlite:///out/{STORAGE_NAME}"
    for name in optuna.get_all_study_names(storage):
        trials = optuna.load_study(study_name=name, storage=storage).trials
        assert len(trials) == 4
        assert all(one.datetime_complete <= next_.datetime_start for one, next_ in pairwise(trials))
    assert onelip(*command).stdout.count("(done before)") == 10


def test_a_lost_study_costs_nothing(here):
    command = ("compare", *SMALL, *SEARCH, "--out", "out")
    assert onelip(*command).exit_code == 0
    (here / "out" / STORAGE_NAME).unlink()
    again = onelip(*command)
    assert again.exit_code == 0
    assert again.stdout.count("(done before)") == 8


def test_force_begins_the_search_anew(here):
    command = ("compare", *SMALL, *SEARCH, "--out", "out")
    assert onelip(*command).exit_code == 0
    before = what_came_out(here / "out")
    (here / "out" / STORAGE_NAME).write_bytes(b"broken")
    assert onelip(*command).exit_code == 2
    forced = onelip(*command, "--force")
    assert forced.exit_code == 0, forced.stderr
    assert "(done before)" not in forced.stdout
    assert what_came_out(here / "out") == before


def test_several_budgets_paddings_and_kernels(here):
    axes = ("--budget", "1epoch,2epochs", "--padding", "circular,zeros", "--kernel-size", "1,3")
    found = onelip("compare", *SMALL[:4], *axes, "--no-costs", "--out", "out")
    assert found.exit_code == 0, found.stderr
    cells = [run.cell for run in load_records(here / "out").train]
    assert len({(cell.method, cell.budget, cell.padding, cell.kernel_size) for cell in cells}) == len(cells) == 16
    assert "Digits, size 4, 1x1 kernels, budget 1epoch, zero padding" in found.stdout
    small, large = (
        {run.parameters for run in load_records(here / "out").train if run.cell.kernel_size == size} for size in (1, 3)
    )
    assert max(small) < min(large)


def test_a_limit_leaves_the_rest_for_another_time(here):
    command = ("compare", "--methods", "aol", "--sizes", "4", "--budget", "1s", "--seeds", "0,1,2", "--no-costs")
    nothing = onelip(*command, "--limit", "0.5s", "--out", "out")
    assert nothing.exit_code == 0, nothing.stderr
    assert "The limit is reached, and 3 of 3 runs are left" in nothing.stdout
    part = onelip(*command, "--limit", "2.5s", "--out", "out")
    assert part.exit_code == 0, part.stderr
    done = len(load_records(here / "out").train)
    assert 1 <= done < 3
    assert f"The limit is reached, and {3 - done} of 3 runs are left" in part.stdout
    rest = onelip(*command, "--out", "out")
    assert rest.stdout.count("(done before)") == done
    assert len(load_records(here / "out").train) == 3


def test_a_limit_that_has_no_room_for_trials_waits_for_nobody(here):
    command = ("compare", "--methods", "aol", "--sizes", "4", "--scan", "0.1,1", "--scan-budget", "50s")
    found = onelip(*command, "--budget", "1s", "--no-costs", "--limit", "40s", "--out", "out")
    assert found.exit_code == 0, found.stderr
    assert "Another process" not in found.stdout
    assert "The limit is reached, and 3 of 3 runs are left" in found.stdout


def test_a_limit_that_has_no_room_for_trials_sees_those_that_were_done_before(here):
    options = ("--sizes", "4", "--scan", "0.1,1", "--scan-budget", "1s", "--no-costs", "--out", "out")
    command = ("compare", "--methods", "aol,cpl", "--budget", "1epoch", *options)
    assert onelip("compare", "--methods", "aol", "--budget", "1epoch", *options).exit_code == 0
    (final,) = (run.cell.id for run in load_records(here / "out").train if run.cell.evaluate_on == "test")
    (here / "out" / final / RECORD_NAME).unlink()
    found = onelip(*command, "--limit", "0.5s")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.count("(done before)") == 2
    assert "The limit is reached, and 3 of 6 runs are left" in found.stdout
    assert (here / "out" / final / RECORD_NAME).exists(), "a final run of no time, chosen by trials that were there"
    assert onelip(*command).exit_code == 0
    whole = onelip(*command, "--limit", "0.5s")
    assert whole.stdout.count("(done before)") == 6
    assert "The limit" not in whole.stdout


@pytest.mark.parametrize(("budget", "suffers"), [("4s", True), ("1epoch", False)])
def test_who_shares_the_machine_says_so(budget, suffers, here):
    """With a budget in time; the other process is played by a second seat."""
    place, other = place_of(torch.device("cpu")), SharedFolder(here / "out", pytest.fail)
    command = ("compare", "--methods", "aol", "--sizes", "4", "--budget", budget, "--no-costs", "--out", "out")
    with other.entered(place), other.working():
        found = onelip(*command)
    assert found.exit_code == 0, found.stderr
    assert ("both take fewer steps than they would alone" in found.stdout) is suffers
    assert ("Trained beside another process, with fewer steps than alone: AOL." in found.stdout) is suffers
    (run,) = load_records(here / "out").train
    assert run.beside is suffers
    report = (here / "out" / "report.md").read_text() if onelip("report", "out").exit_code == 0 else ""
    assert ("1 of 1 run beside another process on the same machine" in report) is suffers
    elsewhere = SharedFolder(here / "other", pytest.fail)
    with elsewhere.entered("another machine"), elsewhere.working():
        assert onelip(*command[:-1], "other").exit_code == 0
    assert not load_records(here / "other").train[0].beside


def test_the_next_process_finds_the_costs_measured(here):
    command = ("compare", "--methods", "aol", "--sizes", "4", "--budget", "1epoch", "--out", "out")
    first = onelip(*command)
    assert first.exit_code == 0, first.stderr
    with SharedFolder(here / "out", pytest.fail).entered():
        second = onelip(*command)
    assert "measured before" in second.stdout
    assert "Costs are not measured yet" not in second.stdout
    for path in (here / "out").glob("cost-*.json"):
        path.unlink()
    with SharedFolder(here / "out", pytest.fail).entered():
        third = onelip(*command)
    assert "Costs are not measured yet, another process works here" in third.stdout


def test_a_lost_study_costs_nothing_where_a_limit_has_no_room_for_its_trials(here):
    command = ("compare", *SMALL[:4], "--budget", "1epoch", "--no-costs", "--search", "3", "--search-budget", "1s")
    assert onelip(*command, "--out", "out").exit_code == 0
    (here / "out" / STORAGE_NAME).unlink()
    again = onelip(*command, "--limit", "0.5s", "--out", "out")
    assert again.exit_code == 0, again.stderr
    assert again.stdout.count("(done before)") == 8


def trained_by(output):
    """The runs that a process trained itself."""
    return re.findall(r"^\[\d+/\d+\] (.*): accuracy (?!.*\(done before\)$)", output, re.MULTILINE)


def test_two_processes_share_the_work_and_do_nothing_twice(here):
    command = ("compare", *SMALL[:4], "--budget", "8epochs", "--no-costs", *SEARCH, "--seeds", "0,1", "--out", "out")
    processes = [started(*command) for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    shares = [trained_by(stdout) for stdout, _ in outputs]
    assert len(shares[0]) + len(shares[1]) == len(set(shares[0]) | set(shares[1])) == 2 * 3 + 2 * 2
    assert all(shares), "one of them did nothing"
    assert all("[10/10]" in stdout for stdout, _ in outputs)
    assert onelip(*command[:-1], "alone").exit_code == 0
    assert what_came_out(here / "out") == what_came_out(here / "alone")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_comparison_that_is_killed_again_and_again_ends_as_an_undisturbed_one(here):
    """With a budget in epochs, bit for bit: weights, history, counts, draws and what was chosen."""
    command = ("compare", *SMALL[:4], "--budget", "10epochs", "--no-costs", *SEARCH, "--out")
    began = time.monotonic()
    assert onelip(*command, "whole").exit_code == 0
    lasted = time.monotonic() - began  # a process of its own takes longer, so that the first is killed on any machine
    for number in range(20):
        process = started(*command, "killed")
        try:
            process.communicate(timeout=lasted * (2 + number) / 3)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            if (here / "killed").exists() and list((here / "killed").rglob(RECORD_NAME)):
                assert not load_records(here / "killed").corrupt
        else:
            break
    assert process.returncode == 0
    assert number > 0, "it was never killed"
    assert what_came_out(here / "killed") == what_came_out(here / "whole")
    for cell in what_came_out(here / "whole"):
        one, other = (here / name / cell / "model.safetensors" for name in ("killed", "whole"))
        assert one.exists() == other.exists()
        assert not one.exists() or one.read_bytes() == other.read_bytes()
