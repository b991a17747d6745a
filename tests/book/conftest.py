"""What tests of the generated pages share."""

import pytest

from mixlib.book.findings import Findings
from mixlib.evidence import comparison
from mixlib.evidence.verdicts import Records
from mixlib.papers.common import pool
from tests.fabricate import records


@pytest.fixture
def found():
    """Runs of the pool: cls_mixup is 3 points better and at half of the loss, label_smoothing loses 5 points."""
    effect = {
        "cls_mixup": {"accuracy": 0.03, "nll": -0.3},
        "label_smoothing": {"accuracy": -0.05, "nll": -0.3, "ece": -0.1},
    }
    specs = [spec for cell in pool.POOL for spec in cell.specs(range(100, 104))]
    found = Findings(Records())
    found.interim = []
    found.pool = comparison.labelled(records(specs, lambda spec: effect.get(spec.method, {})))
    return found
