"""Which records stand in one table, what it is called, and where its costs come from."""

import pytest

from onelip.bench.report import sheets
from onelip.bench.report.groups import comparisons
from onelip.bench.report.metrics import METRICS
from onelip.bench.report.protocol import protocol
from onelip.bench.results import Records


def test_two_learning_rates_are_two_rows(sample_records):
    recipe = sample_records.Recipe(learning_rate=0.03)
    runs = (sample_records.train_record("aol"), sample_records.train_record("aol", recipe=recipe))
    rows = comparisons(Records(train=runs))[0].rows
    assert sorted(row.label for row in rows) == ["AOL, lr 0.03, wd 1e-05", "AOL, lr 0.1, wd 1e-05"]


def test_the_yardstick_has_a_row_per_padding_in_use(sample_records):
    def labels(names, trained=(), **changes):
        runs = tuple(sample_records.train_record(name, **changes) for name in (*names, *trained))
        records = Records(train=runs, cost=(sample_records.cost_record(names),))
        return [row.label for row in comparisons(records)[0].rows if not row.method.constrained]

    both = ["Unconstrained, circular", "Unconstrained, zeros"]
    assert labels(("aol", "cpl")) == both
    assert labels(("cpl", "sll")) == ["Unconstrained"], "all methods use zeros, and it is measured with zeros"
    assert labels(("cpl", "sll"), ("standard",)) == both, "it is trained with circular padding"
    assert labels(("aol",), ("standard",)) == ["Unconstrained"]
    assert labels(("aol", "cpl"), padding="circular") == ["Unconstrained"]


def test_one_padding_for_all_takes_the_costs_of_that_padding(sample_records):
    run = sample_records.train_record("cpl", padding="circular")
    entries = [sample_records.cost_entry("cpl"), sample_records.cost_entry("standard")]
    (row, _) = comparisons(Records(train=(run,), cost=(sample_records.cost_record(entries=entries),)))[0].rows
    assert METRICS["train_step_seconds"].of(row).missing == "not measured", "only the costs with zeros are there"
    entries.append(sample_records.cost_entry("cpl", padding="circular"))
    (row, _) = comparisons(Records(train=(run,), cost=(sample_records.cost_record(entries=entries),)))[0].rows
    assert row.cost.padding == "circular"


def test_costs_of_another_revision_are_not_shown(sample_records):
    run = sample_records.train_record("aol", method=sample_records.method("aol", revision=2))
    (row, _) = comparisons(Records(train=(run,), cost=(sample_records.cost_record(("aol",)),)))[0].rows
    assert METRICS["train_bytes"].of(row).missing == "measured at revision 1, trained at 2"


def test_sessions_of_another_network_are_not_mixed_in(sample_records):
    run, session = sample_records.train_record("aol"), sample_records.cost_record(("aol",), width=32, size="S")
    trained, costs = comparisons(Records(train=(run,), cost=(session,)))
    assert trained.session is None
    assert costs.title == "Costs only, size S, images 1x8x8"
    assert METRICS["train_step_ratio"].of(costs.rows[0]).value == pytest.approx(1.31)


def _session(samples, names=("aol", "cpl"), started=1, **changes):
    return samples.cost_record(names, started=f"2025-06-0{started}T10:00:00+00:00", **changes)


def _chosen(samples, *sessions):
    runs = tuple(samples.train_record(name) for name in ("aol", "cpl"))
    group = comparisons(Records(train=runs, cost=sessions))[0]
    return sessions.index(group.session)


def test_the_session_of_the_same_place_and_then_of_most_methods_is_taken(sample_records):
    elsewhere = [
        sample_records.MACHINE.model_copy(update={key: 1 if key == "threads" else "x"})
        for key in ("device_name", "processor", "threads")
    ]
    here = _session(sample_records, ("aol",), batch_size=128)
    for machine in elsewhere:
        assert _chosen(sample_records, _session(sample_records, started=2, machine=machine), here) == 1
    full = _session(sample_records, batch_size=128)
    assert _chosen(sample_records, _session(sample_records, ("aol",), started=2), full) == 1
    zeros = [sample_records.cost_entry(name, padding="zeros") for name in ("aol", "cpl", "standard")]
    assert _chosen(sample_records, _session(sample_records, started=2, entries=zeros), full) == 1, "AOL is circular"
    assert _chosen(sample_records, _session(sample_records, started=2, batch_size=128), _session(sample_records)) == 1
    assert _chosen(sample_records, _session(sample_records), _session(sample_records, started=2)) == 1


def test_sessions_that_no_table_uses_are_listed(sample_records):
    sessions = (_session(sample_records), _session(sample_records, ("aol",)))
    records = Records(train=(sample_records.train_record("aol"), sample_records.train_record("cpl")), cost=sessions)
    (line,) = sheets.set_aside(records, comparisons(records)).lines
    assert line.head == sessions[1].id
    assert [cell.text for cell in line.cells] == [
        "not shown",
        "3 networks on x86_64 server processor, 2025-06-01 10:00:00 UTC: the tables take their costs from another "
        "session",
    ]
    assert sheets.set_aside(Records(cost=sessions), comparisons(Records(cost=sessions))) is None


CHANGES = {
    "batch 64": {"recipe": {"batch_size": 64}},
    "not augmented": {"recipe": {"augment": False}},
    "margin 0.1": {"recipe": {"margin": 0.1}},
    "temperature 1": {"recipe": {"temperature": 1.0}},
    "warm-up 0.5": {"recipe": {"warmup": 0.5}},
    "momentum 0.1 to 0.9": {"recipe": {"momentum": (0.1, 0.9)}},
    "width 17": {"width": 17},
    "content 00000000": {"data": {"digest": "0" * 64}},
    "on slow": {"machine": {"device_name": "slow", "processor": "slow"}},
    "with slow": {"machine": {"processor": "slow"}},
    "1 thread": {"machine": {"threads": 1}},
}


@pytest.mark.parametrize("fact", CHANGES)
def test_titles_name_what_tells_comparisons_apart_and_nothing_else(sample_records, fact):
    bases = {"recipe": sample_records.Recipe(), "data": sample_records.DIGITS, "machine": sample_records.MACHINE}
    change = {
        key: value if key == "width" else bases[key].model_copy(update=value) for key, value in CHANGES[fact].items()
    }
    runs = (sample_records.train_record("aol"), sample_records.train_record("aol", **change))
    base = "Digits, size XS, budget 20s, each method's own padding"
    assert [group.title for group in comparisons(Records(train=runs[:1]))] == [base]
    titles = {group.title for group in comparisons(Records(train=runs))}
    assert len(titles) == 2
    assert f"{base}, {fact}" in titles
    assert all(title.count(",") == base.count(",") + 1 for title in titles - {base})


def test_titles_of_sessions_alone_differ_too(sample_records):
    sessions = (_session(sample_records), _session(sample_records, started=2), _session(sample_records, batch_size=8))
    titles = [group.title for group in comparisons(Records(cost=sessions))]
    assert len(set(titles)) == 3
    assert titles[2].startswith("Costs only, size XS, images 1x8x8, batch 8, measured 2025-06-01")


@pytest.mark.parametrize(
    ("augmentation", "augment", "words"),
    [
        ("mirror", True, "temperature 0.25, augmentation by mirror; seeds 0"),
        ("", True, "temperature 0.25, the data set's augmentation; seeds 0"),
        ("mirror", False, "temperature 0.25, no augmentation; seeds 0"),
    ],
)
def test_the_protocol_says_how_images_were_augmented(sample_records, augmentation, augment, words):
    data = sample_records.DIGITS.model_copy(update={"augmentation": augmentation})
    run = sample_records.train_record("aol", data=data, recipe=sample_records.Recipe(augment=augment))
    assert words in dict(protocol(comparisons(Records(train=(run,)))[0]))["Recipe"]
