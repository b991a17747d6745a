import json

import pytest
from click.testing import CliRunner

from mixlib import throughput
from mixlib.__main__ import main


def test_a_sweep_is_timed_beside_one_run_after_the_other():
    result = CliRunner().invoke(main, ["bench", "--sweep", "--runs", "4", "--time-limit", "300", "--json"])
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)
    assert (measured["runs"], measured["profile"]) == (4, "smoke")
    plain, other = measured["engines"]
    assert (plain["engine"], other["engine"]) == ("local cpus_per_run=1", "local time_limit=300.0")
    assert plain["ratio"] == 1
    assert other["ratio"] == pytest.approx(plain["seconds"] / other["seconds"], rel=0.01)
    for row in (plain, other):
        assert row["workers"] == 1
        assert 0 < row["train_seconds"] < row["seconds"] / 4
        assert row["beside_seconds"] == pytest.approx(row["seconds"] / 4 - row["train_seconds"], abs=0.01)


def test_the_grid_is_taken_from_all_artefacts():
    grid = throughput._grid("smoke", 40, None)
    assert len(set(grid)) == 40
    assert {spec.paper for spec in grid} == {"batchmixup", "mixup_calibration", "ssmix", "amplify"}
    assert not any(spec.first_stage for spec in grid)
    with pytest.raises(ValueError, match="ask for 1 to"):
        throughput._grid("smoke", 100_000, None)
