"""What each promise costs: of which run, where, compared with what, and which methods lack it."""

import pytest
from pydantic import ValidationError

from onelip.bench.arithmetics import ARITHMETICS_NAME, REVISION, ArithmeticsRecord
from onelip.bench.report.build import build_report
from onelip.bench.report.depth_figure import depth_drawing
from onelip.bench.report.figures import group_styles
from onelip.bench.report.groups import comparisons
from onelip.bench.report.page import HOW_TO_READ, page
from onelip.bench.report.promises import promises, uncertified
from onelip.bench.report.sheets import machines
from onelip.bench.results import Records, load_records


@pytest.fixture
def runs(sample_records):
    """Three methods, the first with two seeds; and one that failed."""
    found = [sample_records.train_record(name, seed=seed) for name, seed in (("aol", 1), ("aol", 2), ("cpl", 1))]
    found.append(sample_records.train_record("standard"))
    return (*found, sample_records.train_record("soc", status="diverged"))


def group_of(runs):
    (group,) = comparisons(Records(train=tuple(runs)))
    return group


def test_a_line_names_its_seed_and_weighs_what_is_executed_against_float64(sample_records, runs):
    """Against real arithmetic a method may seem to win by rounding: its radii there are by another rule."""
    table = promises(group_of(runs), [sample_records.arithmetics_record(runs[1], counts=(100, 125, 100))])
    (line,) = table.lines
    cells = dict(zip([column.title for column in table.columns], line.cells, strict=True))
    assert line.head == "AOL"
    assert cells["Seed"].text == "2"
    assert cells["Executed over float64"].text == "0.80"
    nothing = promises(group_of(runs), [sample_records.arithmetics_record(runs[1], counts=(100, 0, 0))])
    assert nothing.lines[0].cells[4].missing


def test_times_say_of_how_many_rounds_each_of_them_is(sample_records, runs):
    table = promises(group_of(runs), [sample_records.arithmetics_record(runs[0])])
    notes = {column.title: column.note for column in table.columns}
    assert notes["Inference of 256"].endswith("n = 12")
    assert notes["Inference of 1"].endswith("n = 8")


def test_where_the_program_was_executed_and_how_it_sums(sample_records, runs):
    one = sample_records.arithmetics_record(runs[0])
    here = "on x86_64 server processor (cpu), 2 threads, which sums over up to 16 input channels at a time"
    table = promises(group_of(runs), [one])
    assert table.caption.endswith(f"as the float32 program is executed {here}")
    other = sample_records.arithmetics_record(runs[2], block=None)
    table = promises(group_of(runs), [one, other])
    assert table.caption.endswith("as each line says")
    assert {line.head for line in table.lines} == {
        f"AOL, {here}",
        "CPL, on x86_64 server processor (cpu), 2 threads, which sums over all input channels at once",
    }


def test_methods_without_it_are_named_with_what_to_do(sample_records, runs):
    """Not the unconstrained network, nor what failed; nothing where there is no table."""
    group, one = group_of(runs), sample_records.arithmetics_record(runs[0])
    told = "Not certified in float32: CPL. onelip certify RUN --arithmetic executed does it."
    assert uncertified(group, [one]) == told
    assert uncertified(group, [one, sample_records.arithmetics_record(runs[2])]) == ""
    assert uncertified(group, []) == ""


def test_a_diagnosis_names_the_methods_that_it_lacks(sample_records, runs):
    group = group_of(runs)
    look = group_styles([group])
    some = depth_drawing(group, [sample_records.depth_record(runs[0])], look, "name")
    assert some.caption.endswith("Not diagnosed: CPL and Unconstrained. onelip diagnose RUN does it.")
    every = depth_drawing(group, [sample_records.depth_record(run) for run in runs[:4]], look, "name")
    assert "Not diagnosed" not in every.caption


def test_the_page_says_why_real_may_be_less_where_there_is_such_a_table(sample_records, runs, tmp_path):
    sample_records.write(tmp_path, *runs)
    assert page(load_records(tmp_path)).how_to_read == HOW_TO_READ
    record = sample_records.arithmetics_record(runs[0])
    (tmp_path / runs[0].cell.id / ARITHMETICS_NAME).write_text(record.model_dump_json(), encoding="utf-8")
    paths = build_report(tmp_path)
    for path in (paths.html, paths.markdown):
        text = path.read_text(encoding="utf-8").replace("\\", "")
        assert "real may be less than they are" in text
        assert "Not certified in float32: CPL." in text


@pytest.mark.parametrize("other", [1, REVISION + 1])
def test_a_record_of_other_charges_is_stale(sample_records, runs, tmp_path, other):
    """One that does not say has revision 1."""
    sample_records.write(tmp_path, *runs)
    path = tmp_path / runs[0].cell.id / ARITHMETICS_NAME
    record = sample_records.arithmetics_record(runs[0])
    path.write_text(record.model_dump_json(), encoding="utf-8")
    assert load_records(tmp_path).arithmetics == (record,)
    changed = record.model_copy(update={"revision": other})
    path.write_text(changed.model_dump_json(exclude={"revision"} if other == 1 else None), encoding="utf-8")
    records = load_records(tmp_path)
    assert records.arithmetics == ()
    (stale,) = records.stale
    assert stale.reason == (
        f"a comparison of arithmetics at revision {other}; this onelip is at {REVISION}, and "
        "onelip certify RUN --arithmetic executed makes another"
    )


def test_the_machines_of_certifications_are_counted(sample_records, runs):
    elsewhere = sample_records.MACHINE.model_copy(update={"commit": "ab" * 20})
    here, there = sample_records.arithmetics_record(runs[0]), sample_records.arithmetics_record(runs[2])
    there = there.model_copy(update={"machine": elsewhere})
    table = machines(Records(train=runs, arithmetics=(here, there)))
    assert [line.cells[-1].text for line in table.lines] == [
        "5 runs, 1 float32 certification",
        "1 float32 certification",
    ]
    assert "ababababab" in table.lines[1].cells[-2].text


def swapped(facts):
    facts["evaluations"][0], facts["evaluations"][1] = facts["evaluations"][1], facts["evaluations"][0]


def twice(facts):
    facts["evaluations"][2]["arithmetic"] = "float64"


def fewer(facts):
    facts["evaluations"][1]["images"] -= 1


def cut(facts):
    del facts["evaluations"][1]["certified"][20:]


def rising(facts):
    facts["evaluations"][2]["certified"][5] += 1


def unpaired(facts):
    facts["program"].pop()


def unpaired_single(facts):
    facts["plain_single"].pop()


@pytest.mark.parametrize("fault", [swapped, twice, fewer, cut, rising, unpaired, unpaired_single])
def test_a_record_that_contradicts_itself_is_refused(sample_records, runs, fault):
    facts = sample_records.arithmetics_record(runs[0]).model_dump(mode="json")
    assert ArithmeticsRecord.model_validate(facts)
    fault(facts)
    with pytest.raises(
        ValidationError, match=r"arithmetic, in this order|same images|counts|does not hold|same rounds"
    ):
        ArithmeticsRecord.model_validate(facts)
