import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pytest

from mixlib import figures, paths, published, tables
from mixlib.protocols import mixup_calibration as protocol
from tests.fabricate import records


@pytest.fixture(autouse=True)
def _look():
    figures.theme()
    yield
    plt.close("all")


@pytest.fixture
def made():
    return records(protocol.table2("mini"), lambda s: {})


def every_figure(made):
    few = [r for r in made if protocol.size_label(r.spec) == "32"]
    groups = {m: [r for r in few if r.spec.method == m] for m in protocol.VARIANTS}
    data = tables.frame(made, protocol.size_label)
    printed = published.table("mixup_calibration_table2")
    five = tables.frame(records(protocol.table5("mini"), lambda s: {}), protocol.size_label)
    mixed = five[five["method"] == "input_mixup"]
    curves = records(protocol.figure2("mini"), lambda s: {"losses": [0.7, 0.6, 0.8 + s.seed / 100]})
    by = {
        "rte": {m: [r for r in curves if r.spec.dataset == "rte" and r.spec.method == m] for m in ("none", "cls_mixup")}
    }
    return {
        "reliability": figures.reliability(groups, "IMDb"),
        "differences": figures.differences(tables.differences(printed, data, ["accuracy", "ece"]), ["accuracy", "ece"]),
        "paddings": figures.paddings(
            mixed, published.table("mixup_calibration_table5"), tables.cell(five, "accuracy", method="none")
        ),
        "loss_curves": figures.loss_curves(by),
        "manifold": figures.manifold_schematic(),
    }


def test_every_figure_draws_with_labelled_axes_and_is_the_same_twice(made, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "a")
    first = {name: figures.save(f, name, "mini").read_bytes() for name, f in every_figure(made).items()}
    for name, figure in every_figure(made).items():
        if name != "manifold":
            assert any(axis.get_xlabel() for axis in figure.axes), name
            assert any(axis.get_ylabel() or axis.get_yticklabels() for axis in figure.axes), name
        assert figures.save(figure, name, "mini").read_bytes() == first[name]


def test_other_profiles_do_not_touch_the_committed_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    path = figures.save(figures.manifold_schematic(), "x/y", "smoke")
    assert path == tmp_path / "build" / "figures" / "smoke" / "x" / "y.svg"
    assert not (tmp_path / "figures").exists()


def test_reliability_pools_the_seeds(made):
    figure = figures.reliability({"none": made[:3]})
    assert "pooled 11.5" in figure.axes[0].get_title()  # |12-14| + |13-15| + |14-16| + |15-17.5| + |16-19| of 100


def test_methods_are_told_apart_without_colour():
    assert len(set(figures.MARKERS.values())) == len(figures.METHODS)
    assert len({str(d) for d in figures.DASHES.values()}) == len(figures.METHODS)
