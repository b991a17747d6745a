"""Comparing methods on a user's own data: the numbers, what is run, what is said of it."""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from datasets import Dataset
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments, set_seed

import mixlib
from mixlib import methods
from mixlib.__main__ import main
from mixlib.comparing import compare
from mixlib.comparing.choices import choose
from mixlib.evidence import statistics
from mixlib.methods import Method
from mixlib.runs import models, store, synthetic
from mixlib.runs.spec import RunFailed
from tests.comparing.rows import TWIN
from tests.comparing.test_choices import Weaker
from tests.evidence.test_statistics import exact

SEEDS, EPOCHS = 4, 5  # so that every seed learns something


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    TWIN.head(96).to_csv(folder / "mine.csv", index=False)
    TWIN.tail(120).to_csv(folder / "test.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def settings(folder):
    return {"data": str(folder / "mine.csv"), "test": str(folder / "test.csv"), "methods": ["label_smoothing"],
            "model": "tiny", "epochs": EPOCHS, "seeds": SEEDS, "progress": False}  # fmt: skip


@pytest.fixture(scope="module")
def found(settings):
    return mixlib.compare(**settings)


def by_hand(plan, seed, smoothing):
    """Test accuracy and NLL, and NLL at the temperature that fits the development rows, with nothing of ours but data
    and model."""
    parts = plan.data.split(seed, plan.recipe.sizes)
    set_seed(seed)
    model, tokenizer = models.load("tiny", len(plan.data.labels))
    encoded = {
        name: Dataset.from_dict({**tokenizer(rows["text"].tolist(), truncation=True, max_length=128),
                                 "labels": rows["label"].tolist()})
        for name, rows in parts.items()
    }  # fmt: skip
    arguments = TrainingArguments(
        "unused", seed=seed, num_train_epochs=EPOCHS, per_device_train_batch_size=16, learning_rate=5e-3,
        weight_decay=0.01, lr_scheduler_type="linear",
        warmup_steps=math.ceil(0.1 * EPOCHS * math.ceil(len(parts["train"]) / 16)), max_grad_norm=1.0,
        label_smoothing_factor=smoothing, report_to=[], save_strategy="no", disable_tqdm=True, logging_strategy="no",
        use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = Trainer(model, arguments, DataCollatorWithPadding(tokenizer), encoded["train"])
    trainer.train()
    logits = {name: trainer.predict(encoded[name]).predictions.astype(np.float64) for name in ("dev", "test")}

    def nll(name, temperature=1.0):
        log_probs = log_softmax(logits[name] / temperature, axis=1)
        return -log_probs[np.arange(len(log_probs)), parts[name]["label"]].mean()

    fitted = minimize_scalar(
        lambda t: nll("dev", math.exp(t)), bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}
    )
    right = (logits["test"].argmax(1) == parts["test"]["label"]).mean()
    return {"accuracy": right, "nll": nll("test"), "nll_scaled": nll("test", math.exp(fitted.x))}


def test_its_scores_are_those_of_a_loop_with_a_plain_trainer(found):
    ours = found.scores.set_index(["method", "seed"])
    for label, smoothing in (("no mixup", 0.0), ("label smoothing", 0.1)):
        for seed in (0, 3):
            theirs = by_hand(found.plan, seed, smoothing)
            assert ours["accuracy"][label, seed] == pytest.approx(theirs["accuracy"], abs=1e-6)
            assert ours["nll"][label, seed] == pytest.approx(theirs["nll"], abs=2e-5)
            assert ours["nll_scaled"][label, seed] == pytest.approx(theirs["nll_scaled"], abs=2e-3)  # kept as float16
    assert ours["mcc"].min() > 0


def test_its_intervals_are_those_of_a_paired_t_test(found):
    shown = {row["method"]: row for row in found.as_json()["methods"]}
    for metric in ("accuracy", "nll", "ece", "brier"):
        for scaled in (False, True):
            by_method = found.scores.pivot(index="seed", columns="method", values=f"{metric}{'_scaled' * scaled}")
            plain, other = by_method["no mixup"], by_method["label smoothing"]
            ours = shown["label_smoothing"][metric]["scaled"] if scaled else shown["label_smoothing"][metric]
            assert ours["mean"] == pytest.approx(other.mean(), abs=1e-6)
            assert ours["difference"] == pytest.approx((other - plain).mean(), abs=1e-6)
            if np.ptp(other - plain) > 1e-6:
                low, high = stats.ttest_rel(other, plain).confidence_interval()
                assert (ours["low"], ours["high"]) == pytest.approx((low, high), abs=1e-6)


def test_the_json_has_what_it_promises(found):
    said = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert set(said) == {"sentence", "cost", "recipe", "data", "methods"}
    assert [row["method"] for row in said["methods"]] == ["none", "label_smoothing"]
    for row in said["methods"]:
        assert row["seeds"] == [0, 1, 2, 3]
        assert row["time"] > 0
        for metric in ("accuracy", "nll", "ece", "brier"):
            for numbers in (row[metric], row[metric]["scaled"]):
                assert {"mean", "difference", "low", "high", "decided"} <= set(numbers)
                assert numbers["low"] <= numbers["difference"] <= numbers["high"]
    assert said["methods"][0]["nll"]["difference"] == 0
    assert said["methods"][0]["time"] == 1
    assert "over_rows" in said["methods"][1]["nll"]
    assert "over_rows" not in said["methods"][1]["ece"]
    assert said["cost"]["runs"] == 8
    assert said["cost"]["took_seconds"] > 0


def test_finished_runs_are_kept_and_only_what_is_new_is_run(found, settings):
    planned = compare.plan(**{k: v for k, v in settings.items() if k != "progress"})
    assert planned.cost() == {"runs": 8, "done": 8, "seconds": 0.0, "estimated_by": "nothing is left to run"}
    lost = planned.store.path(planned.specs[3])
    kept = {path: path.stat().st_mtime_ns for path in planned.store.files() if path != lost}
    lost.unlink()
    cost = planned.cost()
    assert (cost["runs"], cost["done"]) == (8, 7)
    assert cost["seconds"] > 0
    assert cost["estimated_by"] == "by runs of this comparison"
    assert "8 runs, 7 of them done; the rest takes about" in compare.cost_as_text(cost)
    again = mixlib.compare(**settings)
    assert again.scores.equals(found.scores)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    more = compare.plan(
        **{k: v for k, v in settings.items() if k != "progress"} | {"methods": ["label_smoothing", "tmix"]}
    )
    assert more.cost()["done"] == 8


def test_training_time_is_in_multiples_of_no_mixup(found):
    seconds = [1.0, 3.0, 2.0, 5.0, 9.0, 5.0, 2.0, 7.0]  # seed by seed, no mixup first: medians of 2 and of 5
    timings = [r.timing | {"train_seconds": s} for r, s in zip(found.records, seconds, strict=True)]
    slower = replace(found, records=[replace(r, timing=t) for r, t in zip(found.records, timings, strict=True)])
    assert slower.times == {"no mixup": 1.0, "label smoothing": 2.5}
    assert slower.table()["time"].to_dict() == {"no mixup": "1.0", "label smoothing": "2.5"}
    assert "time" not in slower.table(scaled=True)


def test_a_page_may_be_named_from_the_home_folder(found, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert found.page("~/page.html") == tmp_path / "page.html"


def test_in_a_notebook_it_is_its_tables_and_elsewhere_a_line(found):
    assert repr(found) == "<Comparison of 2 methods on mine.csv, 4 seeds>"
    assert found._repr_html_().count("<table") == 2
    assert "label smoothing" in str(found)


def test_with_read_only_a_missing_run_is_an_error(settings):
    with pytest.raises(RuntimeError, match="have no record"):
        mixlib.compare(**settings | {"seeds": 5, "read_only": True})


def test_an_unknown_model_is_estimated_by_counting(settings, store_folder):
    planned = compare.plan(**{k: v for k, v in settings.items() if k != "progress"} | {"model": "bert-base-uncased"})
    assert "by counting operations" in planned.cost()["estimated_by"]
    assert planned.cost()["seconds"] > 8


# --- Methods of one's own ---------------------------------------------------------------------------------------------


def test_a_method_of_ones_own_is_run_by_class_and_by_object(found, settings, monkeypatch):
    more = mixlib.compare(**settings | {"methods": [Weaker, Weaker(factor=1.0)], "seeds": 1})
    assert more.labels == ["no mixup", "Weaker", "Weaker factor=1.0"]
    assert more.of("Weaker")[0].spec.method.startswith("Weaker@")
    values = more.scores.set_index("method")["nll"]
    assert values["Weaker factor=1.0"] == values["no mixup"]
    assert values["Weaker"] != values["no mixup"]
    assert "1 seed is too few" in more.sentence
    assert more.as_json()["methods"][1]["nll"]["low"] is None
    assert "Weaker" in more._repr_html_()
    assert not [name for name in methods.names() if "@" in name]
    key = more.of("Weaker")[0].spec.method
    with monkeypatch.context() as elsewhere:  # in a process that does not know its class
        elsewhere.delitem(methods.base.REGISTRY, key)
        kept, faults = more.plan.store.contents()
        assert not faults
        assert key in {record.spec.method for record in kept.values()}
    with pytest.raises(ValueError, match="Weaker: a method of your own is run by the engine local, not by ray"):
        mixlib.compare(**settings | {"methods": [Weaker], "engine": "ray"})
    with pytest.raises(ValueError, match="unknown engine ''; choose one of local, ray"):
        mixlib.compare(**settings | {"engine": ""})


def test_a_failing_method_leaves_the_others_done(settings, tmp_path):
    @dataclass(kw_only=True)
    class Broken(Method):
        def losses(self, model, batch):
            yield float("nan") * self.plain_loss(model, batch)

    asked = settings | {"seeds": 1, "results": tmp_path / "results"}
    with pytest.raises(RunFailed, match="1 of 2 runs failed, the others are done") as error:
        mixlib.compare(**asked | {"methods": [Broken]})
    assert "at once" not in str(error.value)  # nothing is left to compare with
    assert len(list((tmp_path / "results").rglob("*.json"))) == 1
    with pytest.raises(RunFailed, match="The others can be compared at once: --methods label_smoothing"):
        mixlib.compare(**asked | {"methods": [Broken, "label_smoothing"]})


def test_methods_that_do_not_fit_the_model_are_named_before_anything_is_run(settings, tmp_path):
    asked = {"methods": ["tmix:blocks=[9]", "eda", "manifold_mixup:layers=[0,9]"], "results": tmp_path / "new"}
    with pytest.raises(ValueError, match=r"tiny cannot be trained with\n  tmix:blocks=\[9\]: .*\n  manifold_mixup"):
        mixlib.compare(**settings | asked)
    assert not (tmp_path / "new").exists()


def test_an_encoder_decoder_is_compared_by_what_fits_it(settings, tmp_path):
    """Its predictions come with other tensors."""
    torch.manual_seed(0)
    _, tokenizer = models.load("tiny", 2)
    config = transformers.BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=140,
        pad_token_id=tokenizer.pad_token_id, bos_token_id=tokenizer.cls_token_id, eos_token_id=tokenizer.sep_token_id,
        decoder_start_token_id=tokenizer.sep_token_id, num_labels=2,
    )  # fmt: skip
    for part in (transformers.BartForSequenceClassification(config), tokenizer):
        part.save_pretrained(tmp_path / "bart")
    asked = {"model": tmp_path / "bart", "seeds": 1, "epochs": 1, "results": tmp_path / "results"}
    found = mixlib.compare(**settings | asked | {"methods": ["label_smoothing", "ssmix_nosal"]})
    assert len(found.records) == 3


# --- What is said of it -----------------------------------------------------------------------------------------------


def fabricated(found, changes, seeds=SEEDS, has_test=False):
    """The comparison with other numbers: ``changes(label, seed)`` are metrics as they shall be."""
    records = []
    for record, label in zip(found.records, found.labels * SEEDS, strict=True):
        values = changes(label, record.spec.seed)
        last = record.last | {name: values[name] for name in values.keys() & record.last.keys()}
        entry = record.evaluations[-1] | {"test": last}
        scaled = record.scaled | {"nll": values.get("nll_scaled", last["nll"])}
        records.append(replace(record, evaluations=[*record.evaluations[:-1], entry], scaled=scaled))
    data = replace(found.data, has_test=has_test)
    plan = replace(found.plan, seeds=tuple(range(seeds)), data=data)
    return replace(found, plan=plan, records=records[: seeds * len(found.labels)])


NOISE = (0.001, -0.002, 0.0015, -0.0005)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (lambda seed: {"nll": 0.44 + NOISE[seed], "nll_scaled": 0.5 + 2 * NOISE[seed]},
         "Label smoothing changes accuracy by the same 0.0 points with every seed, which decides nothing; label "
         "smoothing lowers NLL by 12% (not after temperature scaling)."),
        (lambda seed: {"nll": 0.44 + NOISE[seed], "nll_scaled": 0.51 + NOISE[seed], "accuracy": 0.8 + NOISE[seed]},
         "No method differs from no mixup in accuracy by more than 0.2 points; label smoothing lowers NLL by 12% "
         "(raises NLL by 2% after temperature scaling)."),
        (lambda seed: {"nll": 0.5 + NOISE[seed], "nll_scaled": 0.45 + NOISE[seed], "accuracy": 0.8 + 30 * NOISE[seed]},
         "No method is shown to differ from no mixup in accuracy (90% intervals reach up to 5.6 points); label "
         "smoothing lowers NLL by 10% after temperature scaling."),
        (lambda seed: {"nll": 0.5 + NOISE[seed], "accuracy": 0.85 + NOISE[seed]},
         "Label smoothing raises accuracy by 5.0 points; none is shown to change NLL."),
    ],
)  # fmt: skip
def test_the_sentence_says_what_the_intervals_allow(found, changed, sentence):
    plain = {"nll": 0.5, "nll_scaled": 0.5, "accuracy": 0.8, "mcc": 0.7}
    assert (
        fabricated(found, lambda label, seed: plain | (changed(seed) if label != "no mixup" else {})).sentence
        == sentence
    )


def test_a_difference_that_only_rounding_moves_is_the_same_with_every_seed(found):
    """One row of 24, as records write it; then 50.1 - 49.6 and the like, in which only the last bit differs."""
    for plain, other in (
        ([round(k / 24, 6) for k in (12, 13, 15, 19)], [round((k + 1) / 24, 6) for k in (12, 13, 15, 19)]),
        ([0.496, 0.596, 0.698, 0.0], [0.501, 0.601, 0.703, 0.005]),
    ):
        accuracy = {"no mixup": plain, "label smoothing": other}
        made = fabricated(found, lambda label, seed, of=accuracy: {"accuracy": of[label][seed], "mcc": 0.7})
        assert not made.numbers["label smoothing", "accuracy", False].decided
        assert "changes accuracy by the same" in made.sentence


def test_the_bound_of_the_sentence_is_that_of_two_one_sided_tests(found):
    values = np.array([30 * noise for noise in NOISE])
    other = fabricated(found, lambda label, seed: {"accuracy": 0.8 + (values[seed] if label != "no mixup" else 0)})
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.90)
    assert other.numbers["label smoothing", "accuracy", False].bound == pytest.approx(max(-low, high))


def test_a_difference_is_decided_after_holms_correction_over_the_methods(found):
    pairs = zip(found.records[::2], found.records[1::2], strict=True)
    three = replace(found, plan=replace(found.plan, choices=(*found.plan.choices, choose("tmix"))),
                    records=[record for plain, other in pairs for record in (plain, other, other)])  # fmt: skip
    values = exact(0.01, 0.0057, SEEDS)  # p between 0.025 and 0.05
    change = {"no mixup": [0.0] * SEEDS, "label smoothing": values, "TMix": NOISE}
    for comparison, decided in ((found, True), (three, False)):
        made = fabricated(comparison, lambda label, seed: {"accuracy": 0.8 + change[label][seed]})
        assert made.numbers["label smoothing", "accuracy", False].decided is decided


def test_what_cannot_be_said_is_not_said(found):
    three = fabricated(found, lambda label, seed: {}, seeds=3)
    assert three.sentence == "3 seeds are too few to tell methods apart; at least 4 are needed."
    nothing = fabricated(found, lambda label, seed: {"mcc": NOISE[seed]})
    assert nothing.sentence.startswith("Nothing can be compared: the model without mixup has not learned")


def test_where_all_seeds_share_the_test_rows_they_count_as_a_sample_too(found):
    number = found.numbers["label smoothing", "nll", False]
    said = [found.plan.store.predictions(record).per_row("nll") for record in found.records]
    apart = np.array(said[1::2]) - np.array(said[::2])
    assert apart.mean() == pytest.approx(number.difference, abs=1e-3)
    spread = apart.mean(0).std(ddof=1) / math.sqrt(apart.shape[1])
    assert number.over_rows.high - number.over_rows.low > 2 * 1.9 * spread
    assert number.over_rows == pytest.approx(statistics.two_way_bootstrap({"mine": apart}))
    said = [
        found.plan.store.predictions(record).per_row("nll", temperature=record.scaled["temperature"])
        for record in found.records
    ]
    apart = np.array(said[1::2]) - np.array(said[::2])
    scaled = found.numbers["label smoothing", "nll", True].over_rows
    assert scaled == pytest.approx(statistics.two_way_bootstrap({"mine": apart}))
    assert scaled != pytest.approx(number.over_rows)
    assert "The test rows are the same for all seeds" in " ".join(found.notes)


def test_what_the_seeds_decide_the_test_rows_may_leave_open(found):
    """Accuracies whose differences hardly vary over seeds, and the predictions as they are."""
    change = lambda label, seed: {"accuracy": 0.8 + (0.001 + NOISE[seed] / 10) * (label != "no mixup")}  # noqa: E731
    alone, shared = (
        fabricated(found, change, has_test=has_test).numbers["label smoothing", "accuracy", False]
        for has_test in (False, True)
    )
    assert shared.over_rows.low < 0 < shared.over_rows.high
    assert (alone.decided, shared.decided) == (True, False)
    assert alone.bound < shared.bound == max(-shared.over_rows90.low, shared.over_rows90.high)


def test_the_page_needs_no_other_file_and_shows_all(found, tmp_path):
    page = found.page(tmp_path / "new" / "page.html").read_text()
    assert found.sentence in page
    assert "<svg" in page
    assert not re.search(r'(src|href)="(?!#)', re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))
    for text in (
        "label smoothing",
        "no mixup",
        "After temperature scaling",
        "96 rows and 120 test rows",
        "learning rate",
    ):
        assert text in page
    assert found.page().parent == found.plan.folder
    odd = replace(found, plan=replace(found.plan, data=replace(found.data, title="<mine> & yours")))
    assert "<mine>" not in odd.page(tmp_path / "odd.html").read_text()


def test_the_figure_shows_every_method_and_metric(found):
    figure = found.figure()
    assert [axis.get_title() for axis in figure.axes] == [
        "accuracy (right is better)", "NLL (left is better)", "ECE (left is better)", "Brier score (left is better)",
    ]  # fmt: skip
    assert [axis.get_xlabel().partition(", ")[2] for axis in figure.axes] == ["points", "nats", "points", ""]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["label smoothing"]
    middle = figure.axes[1].get_lines()[1].get_xdata()[0]
    assert middle == pytest.approx(found.numbers["label smoothing", "nll", False].difference)


# --- The command ------------------------------------------------------------------------------------------------------


def run(*arguments):
    return CliRunner().invoke(main, ["compare", *map(str, arguments)])


USUAL = ("--model", "tiny", "--methods", "label_smoothing", "--epochs", str(EPOCHS), "--seeds", "0-3")


def test_the_command_ends_with_a_table_a_page_and_one_sentence(found, folder):
    result = run(folder / "mine.csv", "--test", folder / "test.csv", *USUAL)
    assert result.exit_code == 0, result.output
    *_, page, sentence = result.stdout.strip().splitlines()
    digits = found.data.name.rpartition("@")[2][:6]  # another test file has a page of its own
    assert page == f"Page: {folder / 'mixlib-results' / f'mine-3-classes-with-test-{digits}.html'}"
    assert "(test.csv); splits are stratified" in Path(page.removeprefix("Page: ")).read_text()
    assert sentence == found.sentence
    assert re.search(r"^no mixup +\d+\.\d ± \d", result.stdout, re.MULTILINE)
    said = json.loads(run(folder / "mine.csv", "--test", folder / "test.csv", *USUAL, "--json").stdout)
    timeless = [[row | {"time": 0} for row in rows] for rows in (said["methods"], found.as_json()["methods"])]
    assert timeless[0] == timeless[1]  # another test makes one of the runs anew, in a time of its own


def test_the_estimate_runs_nothing(tmp_path):
    TWIN.to_parquet(tmp_path / "mine.parquet")
    result = run(tmp_path / "mine.parquet", "--model", "tiny", "--estimate")
    assert result.exit_code == 0, result.output
    assert "640 rows, 3 classes: 'class_0' 214, 'class_1' 213, 'class_2' 213. Balanced" in result.output
    assert "30 runs: about" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.parquet"]


def test_a_bad_file_is_one_message_and_nothing_is_written(tmp_path):
    rows = TWIN.head(40).copy()
    rows.loc[6, "text"] = ""
    rows.to_csv(tmp_path / "mine.csv", index=False)
    result = run(tmp_path / "mine.csv", "--model", "tiny")
    assert result.exit_code == 1
    assert "mine.csv, row 7 (line 8), column 'text': no text" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]
    result = run(tmp_path / "mine.csv", "--label", "lable")
    assert "did you mean 'label'" in result.output
    result = run(tmp_path / "mine.csv", "--methods", "cls_mixupp")
    assert "did you mean cls_mixup" in result.output
    assert "unknown engine" in run(tmp_path / "mine.csv", "--engine", "spark").output
    TWIN.head(40).to_csv(tmp_path / "mine.csv", index=False)
    result = run(tmp_path / "mine.csv", "--model", "no/such-model")
    assert result.exit_code == 1
    assert "Error: model 'no/such-model' is not available" in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        *((option, "", "is empty") for option in ("--text", "--text-b", "--label", "--test", "--methods", "--model",
                                                  "--results", "--page")),
        ("--methods", ",", "is empty"),
        ("--methods", "foo", "unknown method 'foo'; did you mean none_long, none, manifold_mixup?"),
        ("--results", "mine.csv", "is a file"),
        ("--page", ".", "is a directory"),
        ("--test", "few.csv", "Error: few.csv has 0 rows; at least 20 are needed"),
        ("--test", "mine.cvs", "on the Hub (OfflineModeIsEnabled)); did you mean mine.csv?"),
        ("--model", "tinny", "Error: model 'tinny' is not available; did you mean 'tiny'? Looked"),
        ("--model", "tiny[::0]", "Error: this model has 2 blocks: [::2] to [::2] keep some of them, got [::0]"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_before_anything_is_run(tmp_path, monkeypatch, option, value, message):
    monkeypatch.chdir(tmp_path)
    TWIN.head(40).to_csv("mine.csv", index=False)
    TWIN.head(0).to_csv("few.csv", index=False)
    result = run("mine.csv", option, value, *(() if option == "--model" else ("--model", "tiny")))
    assert result.exit_code
    assert message in result.output
    assert "Traceback" not in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"mine.csv", "few.csv"}
    assert "is empty" in run("").output


def test_pairs_and_a_method_that_writes_tokens(tmp_path):
    rows = synthetic.twin("own", "train", "pair", 2).head(48)[["text", "text_b", "label"]]
    rows.rename(columns={"text_b": "second"}).to_json(tmp_path / "mine.jsonl", orient="records", lines=True)
    arguments = ("--text-b", "second", "--model", "tiny", "--methods", "ssmix", "--epochs", "1", "--seeds", "0")
    result = run(tmp_path / "mine.jsonl", *arguments, "--json", "--page", tmp_path / "page.html")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["data"]["name"].startswith("mine-2-classes-of-pairs@")
    assert said["page"] == str(tmp_path / "page.html")
    records, left_out = store.Store(tmp_path / "mixlib-results" / "records").scan()
    assert len(records) == 2
    assert not left_out
    assert mean(record.data["train_rows"] for record in records) == said["data"]["train_size"]
