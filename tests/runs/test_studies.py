from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset

from mixlib.papers import registry, step_time
from mixlib.papers.amplify import protocol as amplify
from mixlib.papers.amplify.studies import REFERENCES, Reader, ReadText, by_group
from mixlib.papers.batchmixup import protocol
from mixlib.papers.ssmix import frames
from mixlib.papers.ssmix import protocol as ssmix
from mixlib.papers.ssmix.texts import MixedPair
from mixlib.runs import engines, models, studies
from mixlib.runs.records import DamagedRecord
from mixlib.runs.spec import RunSpec
from mixlib.runs.store import Store, read
from mixlib.runs.studies import StudyRecord, StudySpec, execute
from tests import fabricate


@pytest.fixture
def spec():
    params = {"method": "batchmixup", "method_params": {"n": 20}, "draws": 2, "shots": 5, "epochs": 5, "width": 4,
              "learning_rate": 0.01}  # fmt: skip
    return StudySpec(paper="batchmixup", study="toy", seed=1, synthetic=True, params=params)


def test_a_study_is_kept_and_found_like_a_run(tmp_path, spec):
    store = Store(tmp_path)
    (record,) = engines.run_all([spec], store=store, progress=False)
    assert store.get(spec) == record
    assert store.missing([spec]) == []
    assert store.path(spec).name == f"toy-1-{spec.key}.json"
    assert read(record.to_json()) == record
    assert store.scan() == ([record], {})
    assert execute(spec).values == record.values
    assert execute(replace(spec, seed=2)).values != record.values


def test_damaged_studies_are_named(tmp_path, spec):
    store = Store(tmp_path)
    path = store.put(execute(spec))
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(DamagedRecord, match="running it again replaces it"):
        store.get(spec)


def test_unknown_study(spec):
    with pytest.raises(ValueError, match="unknown study 'toyy'; did you mean toy"):
        execute(replace(spec, study="toyy"))


def test_a_record_of_a_run_is_no_record_of_a_study():
    run = RunSpec(paper="amplify", dataset="rte", method="none", seed=0, model="tiny")
    with pytest.raises(DamagedRecord, match=r"^not a run record \(KeyError: 'values'\)$"):
        StudyRecord.from_json(fabricate.record(run).to_json())


def test_toy_starts_every_method_alike(spec):
    plain = replace(spec, params=spec.params | {"method": "none", "method_params": {}})
    first, second = execute(spec).values, execute(plain).values
    assert first["points"] == second["points"]
    assert first["pool"] == second["pool"]
    assert first["accuracy"] != second["accuracy"]
    assert len(first["accuracy"]) == 2
    assert len(first["grid"]) == len(first["grid"][0]) == 41


def test_dot_objective_fails_where_softmax_trains():
    curves = {s.params["objective"]: execute(s).values for s in protocol.figure1("mini") if s.study == "objectives"}
    assert curves["softmax"]["accuracy"][-1] > 0.8
    assert curves["dot"]["accuracy"][-1] < 0.7
    assert curves["dot"]["cosine"][-1] > 0.9
    assert curves["dot"]["loss"][-1] < -10


def test_geometry_of_a_trained_model():
    (spec,) = protocol.geometry("smoke", seeds=[0])
    values = execute(spec).values
    assert {row["rows"] for row in values["rows"]} == {5, 8}
    by_policy = {(r["policy"], r["alpha"], r.get("temperature")): r for r in values["rows"] if r["rows"] == 8}
    assert by_policy["pairwise", 0.4, None]["distance"] < 1e-4
    crowded, spread = by_policy["elementwise", 1.0, None], by_policy["elementwise", 1.0, 0.03]
    assert crowded["spread"] < spread["spread"]
    assert crowded["largest_share"] <= 2.7183 / (2.7183 + 7)
    picture = values["pictures"]["8"]
    assert len(picture["vectors"]) == 8
    assert len(picture["points"]) == len(protocol.POLICIES)


def test_epoch_time_counts_every_update():
    (spec,) = protocol.epoch_time("smoke", seeds=[0])
    values = execute(spec).values
    assert set(values["seconds"]) == {"none", "mixup", "nonlinear_mixup", "batchmixup"}
    assert set(values["seconds"]["mixup"]) == {"1", "5", "15"}
    assert values["batches_per_epoch"] == 10
    assert all(t > 0 for by_n in values["seconds"].values() for ts in by_n.values() for t in ts)


def test_every_study_of_the_protocols_is_registered():
    for artefact in registry.artefacts():
        for profile in registry.PROFILES:
            for spec in registry.artefact_runs(artefact.id, profile):
                assert not isinstance(spec, StudySpec) or spec.study in studies.every()


@pytest.mark.parametrize("part", [ssmix.step_time, ssmix.figure2, ssmix.figures1_3_4_5], ids=lambda part: part.__name__)
def test_studies_of_ssmix_run_and_say_what_their_readers_need(part):
    spec = part("smoke", seeds=[0])[0]
    record = execute(spec)
    if spec.study == "step_time":
        times = step_time.ratios([record])
        assert set(times["method"]) == {"none", "padded", *(m["label"] for m in ssmix.EVIDENCE_TIMED)}
        assert (times["ratio"] > 0).all()
    elif spec.study == "off_the_segment":
        found = frames.distances([record])
        assert len(found) == 9
        assert (found["distance"] >= 0).all()
        assert len(record.values["pictures"]) == 2
        by = found.set_index(["method", "ratio"])["weight"]
        assert by["ssmix", 0.3] == by["embedmix", 0.3] == by["tmix", 0.3]  # compared at equal weights
    else:
        mixed = [MixedPair(**values) for values in record.values["mixed"]]
        assert [pair.method for pair in mixed] == list(ssmix.TABLE_B1)
        assert mixed[0].labels == ["negative", "positive"]


def test_figure_5s_sentences_have_the_papers_lengths():
    """Five and six tokens with the tokenizer of MiniLM and BERT: 2/11 at a share of 0.2."""
    _, tokenizer = models.load("all-MiniLM-L6-v2", num_labels=3)
    first, second = ssmix.SENTENCE_PAIRS[0]
    assert [len(tokenizer.tokenize(text)) for text in (first, second)] == [5, 6]
    assert [len(tokenizer.tokenize(text)) for text in ssmix.REVIEWS] == [10, 10]


def test_attention_study_reads_words_not_pieces():
    spec = amplify.attention("smoke", seeds=[0])[2]
    values = execute(spec).values
    view = values["views"]["pair"]
    assert " ".join(view["words"]) == "[CLS] the rabbit quickly hopped [SEP] the turtle slowly crawled [SEP]"
    assert view["side"] == [None, 0, 0, 0, 0, None, 1, 1, 1, 1, None]
    assert np.sum(view["attention"], axis=1) == pytest.approx([1] * 11, abs=1e-3)
    assert len(values["crossing_made"]) == len(values["crossing_test"]) == 4
    assert all(0 < x < 1 for x in values["crossing_made"] + values["linked_made"] + values["resolved_made"])
    assert len(values["resolved_made"]) == len(REFERENCES)
    neurons = values["views"]["neurons"]
    scores = np.array(neurons["keys"]) @ np.array(neurons["query"]) / np.sqrt(len(neurons["query"]))
    softmax = np.exp(scores) / np.exp(scores).sum()
    assert softmax == pytest.approx(neurons["attention"], abs=2e-3)  # the drawn products make the drawn attention
    assert "views" not in execute(replace(spec, params=spec.params | {"keep": False})).values


def test_attention_study_reads_models_without_token_types(tiny):
    model, tokenizer = tiny
    reader = Reader(model, tokenizer)
    pairs = Dataset.from_dict(tokenizer(["a b c", "d e"], ["f g", "h i j"]))
    with_types = reader.read_rows(pairs, 1, 2)
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    without = reader.read_rows(pairs.remove_columns("token_type_ids"), 1, 2)
    assert [text.side for text in without] == [text.side for text in with_types]
    assert without[0].side[0] is None
    assert {0, 1} <= set(without[0].side)


def test_attention_of_words_is_summed_over_what_is_looked_at_and_averaged_over_who_looks():
    attention = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2], [0.1, 0.1, 0.8]])
    merged = by_group(attention, [[0, 1], [2]])
    assert torch.allclose(merged, torch.tensor([[0.65, 0.35], [0.2, 0.8]]))
    assert torch.allclose(merged.sum(1), torch.ones(2))


def test_crossing_and_weights_of_words():
    half = torch.full((4, 4), 0.25)
    text = ReadText(["a", "it", "it", "b"], [0, 0, 1, 1], half)
    assert text.crossing() == pytest.approx(0.5)
    assert text.weight("it", "it") == pytest.approx(0.5)
    inside = torch.block_diag(torch.full((2, 2), 0.5), torch.full((2, 2), 0.5))
    assert ReadText(["a", "b", "c", "d"], [0, 0, 1, 1], inside).crossing() == 0


def test_every_sentence_of_reference_has_both_nouns_and_one_it():
    for text, right, wrong in REFERENCES:
        words = text.split()
        assert words.count("it") == words.count(right) == words.count(wrong) == 1
    assert len(REFERENCES) >= 20


def test_step_times_come_with_the_number_of_parameters():
    (spec,) = amplify.step_time("smoke")
    values = execute(spec).values
    assert set(values["seconds"]) == {*amplify.TABLE_2, "padded"}
    assert len(set(values["parameters"].values())) == 1


def test_the_studies_that_are_kept_alone_exist():
    assert studies.TIMED.issubset(studies.every())
