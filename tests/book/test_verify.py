import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner

from mixlib.__main__ import main
from mixlib.book import verify
from mixlib.comparing import protocol
from mixlib.runs import training
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store
from tests.fabricate import record as fabricated


def spec(method="cls_mixup", seed=100, **changes):
    """A run of about a second on the real BANKING77."""
    usual = {"dataset": "banking77", "model": "tiny", "train_per_class": 1, "dev_size": 24, "test_size": 40,
             "curve_size": 8, "max_length": 16, "num_train_epochs": 2, "learning_rate": 5e-3}  # fmt: skip
    return RunSpec(paper="common", method=method, seed=seed, **usual | changes)


@pytest.fixture(scope="module")
def made():
    """A record as it is made here."""
    return training.execute(spec())


@pytest.fixture
def store(store_folder, no_data):
    return Store(store_folder)


@pytest.fixture
def in_process(monkeypatch):
    """Runs are made in this process: starting others takes seconds."""
    monkeypatch.setattr(verify, "_made", lambda drawn: [verify._make(candidate.record) for candidate in drawn])


def elsewhere(record, **changes):
    """The record as another kind of machine would have made it."""
    return replace(record, environment=record.environment | {"cpu": "another one"}, **changes)


def shifted(record, **shift):
    """The record with other scores at the last update."""
    last = {**record.evaluations[-1]}
    last["test"] = {name: value + shift.get(name, 0) for name, value in last["test"].items()}
    return replace(record, evaluations=[*record.evaluations[:-1], last], data={**record.data, "predictions": ""})


def others(record, seeds=range(101, 105), step=0.01):
    """Records of the same cell on another kind of machine, whose scores spread."""
    return [
        elsewhere(replace(shifted(record, accuracy=step * i, nll=step * i), spec=replace(record.spec, seed=seed)))
        for i, seed in enumerate(seeds, 1)
    ]


def test_a_right_record_is_made_anew_to_the_bit_and_a_wrong_one_is_not(store, made):
    """In processes of their own, through the command; the right one is scored less often than when it was made."""
    store.put(made)
    result = CliRunner().invoke(main, ["verify"])
    assert result.exit_code == 0, result.output
    head, row, _, last = result.stdout.splitlines()
    columns = ["record", "method", "paper", "data set", "committed", "measured", "tolerance", "verdict"]
    assert re.split("  +", head) == columns
    assert row.startswith(f"banking77-cls_mixup-100-{made.spec.key}  cls_mixup  mixup_calibration  banking77  accuracy")
    assert row.endswith("bit for bit  equal to the bit")
    assert last == "1 of 1 records made anew on this machine"
    store.put(shifted(made, nll=1e-6))
    result = CliRunner().invoke(main, ["verify", "--records", "1", "--seed", "3", "--dataset", "banking77", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["sentence"], found["ok"], found["seed"]) == ("0 of 1 records made anew on this machine", False, 3)
    assert found["rows"][0]["verdict"] == "outside"
    assert found["rows"][0]["measured"]["nll"] == made.last["nll"]


@pytest.mark.usefixtures("in_process")
def test_elsewhere_scores_may_differ_by_five_standard_deviations_over_seeds(store, made):
    for record in others(made):
        store.put(record)
    spread = 5 * 0.0129099  # of 0.01, 0.02, 0.03 and 0.04
    for shift, verdict in ((0.0, "equal to the bit"), (0.9 * spread, "within tolerance"), (1.7 * spread, "outside")):
        store.put(elsewhere(shifted(made, nll=shift) if shift else made))
        (candidate,) = [c for c in verify.candidates(store) if c.record.spec.seed == 100]
        row = verify._row(candidate, verify._make(candidate.record))
        assert row.verdict == verdict
        assert row.ok == (verdict != "outside")
        if not shift:
            assert row.tolerance == pytest.approx({"accuracy": spread, "nll": spread}, rel=1e-4)
    row = verify._row(replace(candidate, record=elsewhere(shifted(made, accuracy=2 * spread))), made)
    assert row.verdict == "outside"


def test_a_record_that_kept_no_predictions_is_compared_by_its_scores(made):
    without = replace(made, data={name: value for name, value in made.data.items() if name != "predictions"})
    right, wrong = (verify.Candidate(None, record, None) for record in (without, replace(shifted(without, nll=1e-6))))
    wrong.record.data.pop("predictions")
    assert verify._verdict(right, made) == "equal to the bit"
    assert verify._verdict(wrong, made) == "outside"


def test_a_record_of_a_method_whose_class_is_unknown_is_left_out(store, made):
    store.put(made)
    store.put(replace(made, spec=replace(made.spec, method="Mine@0123456789abcdef", method_params={"factor": 0.5})))
    assert [candidate.record.spec.method for candidate in verify.candidates(store)] == ["cls_mixup"]


def test_fewer_than_four_other_seeds_say_nothing_of_another_machine(store, made):
    for record in others(made, seeds=(101, 102, 103)):
        store.put(record)
    store.put(elsewhere(made))
    assert verify.candidates(store) == []
    with pytest.raises(ValueError, match=r"no record of banking77 in .* can be made anew here: its data set has to be"):
        verify.verify(dataset="banking77", store=store)
    with pytest.raises(ValueError, match="unknown data set 'banking'; did you mean banking77"):
        verify.verify(dataset="banking", store=store)


def test_other_examples_and_weights_are_named(made):
    candidate = verify.Candidate(None, made, None)
    for name, words in (("train", "other train examples"), ("test", "other test examples"), ("model", "other weights")):
        assert verify._verdict(candidate, replace(made, data=made.data | {name: "0"})) == words
    assert verify._verdict(candidate, replace(made, train_losses=[*made.train_losses[:-1], 0.0])) == "outside"


@pytest.mark.usefixtures("in_process")
def test_a_run_that_fails_is_a_row_with_its_reason(store, made, monkeypatch):
    store.put(made)
    monkeypatch.setattr(training, "execute", lambda spec: 1 / 0)
    result = verify.verify(store=store)
    assert result.rows[0].verdict == "failed: ZeroDivisionError: division by zero"
    assert result.sentence == "0 of 1 records made anew on this machine"
    assert str(result).splitlines()[1].split("  ")[-1] == result.rows[0].verdict


def test_what_cannot_be_made_anew_is_not_drawn(store, made):
    first = spec("none", keep_state=True)
    for record in (
        replace(
            made, spec=spec(seed=1), environment={k: v for k, v in made.environment.items() if k != "instructions"}
        ),
        replace(made, spec=spec(seed=2, first_stage=first)),
        replace(made, spec=first),
        replace(made, spec=replace(spec(seed=3), dataset="trec_coarse")),  # not in the repository
        replace(made, spec=spec(seed=4, num_train_epochs=10**7)),
        replace(made, spec=spec(seed=5, model="somewhere/on-the-hub")),
        replace(made, spec=spec(seed=6, precision="bf16"), environment=made.environment | {"precision": "bf16"}),
        replace(made, spec=spec(seed=7, synthetic=True)),
    ):
        store.put(record)
    assert verify.candidates(store) == []
    store.put(made)
    assert [candidate.record.spec for candidate in verify.candidates(store)] == [made.spec]


def candidate(method, seed, exact=False, epochs=8, **changes):
    """A run of all-MiniLM-L6-v2 on 770 rows of the real data set."""
    size = {"model": "all-MiniLM-L6-v2", "train_per_class": 10, "max_length": 64, "num_train_epochs": epochs}
    record = fabricated(spec(method, seed, **size | changes))
    return verify.Candidate(None, record, None if exact else {"accuracy": 0.1, "nll": 0.1})


def short(method, seed, exact=False):
    """A run of notebook 53."""
    name = protocol.comparison("mini").data.name
    own = {"train_per_class": None, "train_size": 160, "num_train_epochs": 6, "dataset": name}
    return candidate(method, seed, exact, **own)


def test_drawn_are_one_of_the_tables_one_to_the_bit_and_methods_of_several_papers():
    methods = ("none", "cls_mixup", "ssmix", "amplify", "batchmixup", "label_smoothing")
    found = [candidate(method, seed, epochs=3) for method in methods for seed in range(6)]
    found += [short(method, seed, exact=True) for method in ("none", "cls_mixup", "amplify") for seed in (7, 8)]
    draws = [verify.draw(found, 3, seed) for seed in range(40)]
    assert draws[5] == verify.draw(found, 3, 5)
    for first, second, third in draws:
        assert first.of_tables
        assert second.tolerance is None
        assert len({first.paper, second.paper, third.paper} - {None}) == (2 if first.paper is None else 3)
    assert {one.record.spec.method for drawn in draws for one in drawn} >= {
        "none",
        "cls_mixup",
        "batchmixup",
        "amplify",
    }
    everything = verify.draw(found, 99, 0)
    assert len(everything) == len(found)
    assert len({id(one) for one in everything}) == len(found)


def test_a_long_run_leaves_time_for_short_ones_only():
    long, brief = [candidate("none", s, epochs=4) for s in range(5)], [short("amplify", s) for s in range(5)]
    assert brief[0].seconds < verify.USUAL < long[0].seconds < verify.LONGEST
    for seed in range(40):
        drawn = verify.draw(long + brief, 3, seed)
        assert [one.of_tables for one in drawn] == [True, False, False]
        assert sum(one.seconds for one in drawn) <= 3 * verify.USUAL
    assert len(verify.draw(long, 3, 0)) == 3  # where there is nothing shorter
    assert not verify.draw([candidate("none", 0, epochs=9), *brief], 3, 0)[0].of_tables  # where there is no time


def test_the_committed_records_of_a_bare_clone_suffice(no_data):
    """One of the tables and methods of two papers, whatever the seed, from the data sets in the repository."""
    found = verify.candidates()
    example = protocol.comparison("mini").data.name
    assert {candidate.record.spec.dataset for candidate in found} == {"banking77", example}
    for seed in range(10):
        drawn = verify.draw(found, 3, seed)
        assert drawn[0].of_tables
        assert len({candidate.paper for candidate in drawn} - {None}) >= 2
        assert sum(candidate.seconds for candidate in drawn) <= 3 * verify.USUAL
