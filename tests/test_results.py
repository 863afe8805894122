from pathlib import Path

import pytest

from onelip.bench.records import HARNESS_REVISION, SCHEMA, Started
from onelip.bench.results import load_records, read_record, write_record
from onelip.errors import RecordError


def test_records_survive_the_disk(sample_records, tmp_path):
    for index, record in enumerate((sample_records.train_record("aol"), sample_records.cost_record())):
        path = tmp_path / "deep" / f"{index}.json"
        write_record(record, path)
        assert read_record(path) == record


def test_a_curve_is_one_line(sample_records, tmp_path):
    write_record(sample_records.train_record("aol"), tmp_path / "record.json")
    (line,) = (line for line in (tmp_path / "record.json").read_text().splitlines() if '"certified"' in line)
    assert line.count(",") >= 512


def test_an_existing_file_is_replaced_only_by_force(sample_records, tmp_path):
    path = tmp_path / "record.json"
    first, second = (sample_records.train_record("aol", seed=seed) for seed in (0, 1))
    write_record(first, path)
    with pytest.raises(RecordError, match=r"record\.json exists"):
        write_record(second, path)
    assert read_record(path) == first
    write_record(second, path, force=True)
    assert read_record(path) == second


@pytest.mark.parametrize("crash", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_crash_before_the_replacement_leaves_the_old_file(sample_records, tmp_path, monkeypatch, crash):
    path = tmp_path / "record.json"
    old = sample_records.train_record("aol")
    write_record(old, path)
    written = []

    def stop(self, target):
        written.append(self.read_text())
        raise crash

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(RecordError if isinstance(crash, OSError) else KeyboardInterrupt):
        write_record(sample_records.train_record("aol", seed=1), path, force=True)
    assert '"seed": 1' in written[0], "the new content was complete before the old one was touched"
    assert read_record(path) == old
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


def test_a_path_that_cannot_be_written_is_named(sample_records, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write .*record\.json"):
        write_record(sample_records.train_record("aol"), tmp_path / "file" / "record.json")


def test_what_a_killed_writer_leaves_is_not_read(sample_records, tmp_path):
    sample_records.write(tmp_path, sample_records.train_record("aol"))
    (tmp_path / ".record.json.77.tmp").write_text("{")
    records = load_records(tmp_path)
    assert len(records.train) == 1
    assert not records.corrupt


def _spoiled(text, old, new):
    assert old in text
    return text.replace(old, new, 1)


SPOILS = {
    "cut": (lambda text: text[: len(text) // 2], "not a whole JSON file"),
    "empty": (lambda _: "", "not a whole JSON file"),
    "foreign": (lambda _: '{"name": "package"}', "not a record of onelip"),
    "a list": (lambda _: "[1, 2]", "not a record of onelip"),
    "deep": (lambda _: "[" * 100_000, "not a whole JSON file"),
    "unknown field": (lambda text: _spoiled(text, '"kind"', '"surprise": 1, "kind"'), "surprise"),
    "unknown status": (lambda text: _spoiled(text, '"status": "ok"', '"status": "fine"'), "status"),
    "NaN": (lambda text: _spoiled(text, '"seconds": 19.4', '"seconds": NaN'), "seconds"),
    "no evaluation": (lambda text: text[: text.index('"evaluation"')] + '"evaluation": null}', "without an evaluation"),
    "two methods": (lambda text: _spoiled(text, '"name": "aol"', '"name": "soc"'), "different methods"),
    "too many correct": (lambda text: _spoiled(text, '"images": 360', '"images": 36'), "images >= correct"),
    "short curve": (lambda text: _spoiled(text, '"certified": [337, ', '"certified": ['), "512 counts"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_bad_file_is_named_and_hides_no_other(sample_records, tmp_path, spoil):
    change, reason = SPOILS[spoil]
    bad, good = sample_records.train_record("aol"), sample_records.train_record("cpl")
    sample_records.write(tmp_path, bad, good)
    path = tmp_path / bad.cell.id / "record.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(RecordError, match=reason) as error:
        read_record(path)
    assert str(path) in str(error.value)
    records = load_records(tmp_path)
    assert records.train == (good,)
    (rejected,) = records.corrupt
    assert rejected.path == f"{bad.cell.id}/record.json"
    assert reason in rejected.reason
    assert str(tmp_path) not in rejected.reason, "the report names no path of this machine"


def test_another_schema_is_refused_and_listed_as_stale(sample_records, tmp_path):
    record = sample_records.train_record("aol", record_schema_version=SCHEMA + 1)
    sample_records.write(tmp_path, record)
    with pytest.raises(RecordError, match=f"schema version {SCHEMA + 1}; this onelip reads {SCHEMA}"):
        read_record(tmp_path / record.cell.id / "record.json")
    records = load_records(tmp_path)
    assert not records.train
    assert f"schema version {SCHEMA + 1}" in records.stale[0].reason


def test_revisions_are_not_mixed(sample_records, tmp_path):
    new = sample_records.method("aol", revision=2)
    harness = HARNESS_REVISION + 1
    kept = sample_records.train_record("aol", method=new)
    sample_records.write(
        tmp_path,
        sample_records.train_record("aol"),
        kept,
        sample_records.train_record("cpl", record_harness=harness),
        sample_records.cost_record(harness=harness),
    )
    records = load_records(tmp_path)
    assert records.train == (kept,)
    assert not records.cost
    reasons = sorted(rejected.reason for rejected in records.stale)
    assert [reason.split(";")[0] for reason in reasons] == [f"harness revision {harness}"] * 2 + ["revision 1 of aol"]


def test_a_second_record_of_a_cell_is_not_counted_twice(sample_records, tmp_path):
    record = sample_records.train_record("aol")
    sample_records.write(tmp_path / "a", record)
    sample_records.write(tmp_path / "b", record)
    records = load_records(tmp_path)
    assert records.train == (record,)
    assert records.stale[0].reason == f"the same cell as a/{record.cell.id}/record.json"


def test_a_clock_budget_binds_a_result_to_its_machine_and_epochs_do_not(sample_records, tmp_path):
    other = sample_records.MACHINE.model_copy(update={"device_name": "faster", "processor": "faster"})
    for budget, kept in (("20s", 2), ("12epochs", 1)):
        here, there = (
            sample_records.train_record("aol", budget=budget, machine=machine)
            for machine in (sample_records.MACHINE, other)
        )
        sample_records.write(tmp_path / budget / "here", here)
        sample_records.write(tmp_path / budget / "there", there)
        assert len(load_records(tmp_path / budget).train) == kept


def test_a_started_run_without_a_record_is_unfinished(sample_records, tmp_path):
    done, begun = sample_records.train_record("aol"), sample_records.train_record("cpl")
    sample_records.write(tmp_path, done)
    for run in (done, begun):
        facts = {name: getattr(run, name) for name in ("cell", "method", "machine", "started")}
        (tmp_path / run.cell.id).mkdir(exist_ok=True)
        (tmp_path / run.cell.id / "run.json").write_text(Started(**facts).model_dump_json())
    assert load_records(tmp_path).unfinished == (begun.cell,)


def test_a_folder_without_records_is_an_error(tmp_path):
    with pytest.raises(RecordError, match="does not exist"):
        load_records(tmp_path / "absent")
    with pytest.raises(RecordError, match=r"holds no record\.json"):
        load_records(tmp_path)
