"""The runs of a few committed records, drawn at random, are repeated on this machine and compared with the records.

The draw is from runs on real data whose data set and weights are here and that take one core no more than about
:data:`LONGEST` seconds, and :data:`USUAL` on average over those drawn. If there is time for it, one is from the papers'
tables; the others may be from notebook 53, whose runs on messages of BANKING77 are short. The scores after the last
update, which tables and verdicts read, are compared. How often a run is scored along the way has no influence on its
training, so that is left out.

On the same kind of machine, a run in fp32 comes out the same bit for bit: every training loss, and what the model
predicts for each development and test example. Elsewhere it does not: another CPU rounds differently, which training
amplifies, and a GPU, where the records in tf32 were made, draws other numbers for dropout. There accuracy and loss may
differ by :data:`SPREADS` standard deviations of the same run over its other committed seeds, each of which draws its
own examples and head. That reveals a wrong method or recipe, not a tenth of a point.

Runs in two stages are left out, and so are records that do not name the instructions of their CPU: those are older than
the last change that moved numbers on purpose (evaluations no longer move the random stream of dropout).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from statistics import stdev
from typing import Any

import joblib
from tqdm import tqdm

from mixlib import methods
from mixlib.comparing import own_data, protocol
from mixlib.runs import checkpoints, corpora, costs, machine, paths
from mixlib.runs.records import DamagedRecord
from mixlib.runs.spec import OWN_METHOD, RunRecord, RunSpec
from mixlib.runs.store import Store, read, text_of

LONGEST, USUAL = 240.0, 60.0  # seconds on one core by counting: half as many where nothing runs beside it
SPREADS, FEWEST_OTHERS = 5, 4
COMPARED = ("accuracy", "nll")  # within a tolerance; bit for bit, everything is compared
SAME = ("device", "cpu", "instructions", "torch", "transformers")  # what a run's bits depend on besides the code
EQUAL, WITHIN, OUTSIDE = "equal to the bit", "within tolerance", "outside"


@dataclass(frozen=True)
class Candidate:
    """A committed record that can be retrained here.

    Attributes:
        path: of its file.
        record: what it says.
        tolerance: for each of :data:`COMPARED`; ``None`` if the record has to match to the bit.
    """

    path: Path
    record: RunRecord
    tolerance: dict[str, float] | None

    @property
    def paper(self) -> str | None:
        """The paper of the method; ``None`` for the plain model and the baselines of no paper."""
        return methods.REGISTRY[self.record.spec.method].paper

    @property
    def of_tables(self) -> bool:
        """Whether it is from the papers' tables; otherwise it is from notebook 53."""
        return not corpora.get(self.record.spec.dataset).own

    @cached_property
    def seconds(self) -> float:
        """How long it takes, see :func:`seconds`."""
        return seconds(self.record.spec)


@dataclass(frozen=True)
class Row:
    """The outcome for one record. ``measured`` is empty if the run failed; ``verdict`` says why."""

    record: str
    method: str
    paper: str | None
    dataset: str
    committed: dict[str, float]
    measured: dict[str, float]
    tolerance: dict[str, float] | None
    verdict: str

    @property
    def ok(self) -> bool:
        """Whether the record was reproduced."""
        return self.verdict in (EQUAL, WITHIN)


@dataclass(frozen=True)
class Result:
    """The outcome for all records that were drawn. With the same ``seed``, the same ones are drawn again."""

    seed: int
    rows: list[Row]

    @property
    def ok(self) -> bool:
        """Whether all were reproduced."""
        return all(row.ok for row in self.rows)

    @property
    def sentence(self) -> str:
        """``3 of 3 records made anew on this machine``."""
        return f"{sum(row.ok for row in self.rows)} of {len(self.rows)} records made anew on this machine"

    def as_json(self) -> dict[str, Any]:
        """For programs: ``sentence``, ``ok``, ``seed`` and ``rows``."""
        rows = [{**vars(row), "ok": row.ok} for row in self.rows]
        return {"sentence": self.sentence, "ok": self.ok, "seed": self.seed, "rows": rows}

    def __str__(self) -> str:
        head = ("record", "method", "paper", "data set", "committed", "measured", "tolerance", "verdict")
        lines = [head]
        for row in self.rows:
            tolerance = "bit for bit" if row.tolerance is None else _numbers(row.tolerance, "±")
            lines.append((row.record, row.method, row.paper or "none", row.dataset, _numbers(row.committed),
                          _numbers(row.measured), tolerance, row.verdict))  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([*table, f"--seed {self.seed} draws the same records again", self.sentence])


def _numbers(values: dict[str, float], sign: str = "") -> str:
    return ", ".join(f"{name} {sign}{value:.4f}" for name, value in values.items() if name in COMPARED) or "-"


def verify(count: int = 3, dataset: str | None = None, seed: int | None = None, store: Store | None = None) -> Result:
    """Retrain a few committed records.

    Args:
        count: how many; fewer if there are not as many.
        dataset: only records of this one, by default of all that are here and that of notebook 53.
        seed: of the draw, by default a different one each time.
        store: of the records, by default the repository's and that of notebook 53. Nothing is written.

    Raises:
        ValueError: unknown data set (with the nearest names), or no record that can be retrained here.
    """
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    drawn = draw(candidates(store, dataset), count, seed)
    if not drawn:
        place = f" of {dataset}" if dataset else ""
        raise ValueError(
            f"no record{place} in {(store or Store()).folder} can be made anew here: its data set has to be in "
            f"MIXLIB_DATA or the repository, its weights on this machine (extra offline), and it has to take less than "
            f"{LONGEST:.0f} s"
        )
    return Result(seed, [_row(candidate, made) for candidate, made in zip(drawn, _made(drawn), strict=True)])


def candidates(store: Store | None = None, dataset: str | None = None) -> list[Candidate]:
    """The records that can be retrained here (see above), in the order of their files; for the arguments see
    :func:`verify`."""
    wanted = [corpora.get(dataset).name] if dataset else list(corpora.CORPORA)
    here = tuple(f"{name}-" for name in wanted if corpora.at_hand(name))
    folders = [(store or Store()).folder]
    if store is None and dataset is None:
        example = protocol.comparison("mini")
        here += (f"{example.data.name}-",)
        folders.append(example.store.folder)
    records: dict[Path, RunRecord] = {}
    for path in (path for folder in folders for path in sorted(folder.rglob("*.json"))):
        if path.name.startswith(here):
            with suppress(DamagedRecord):
                record = read(text_of(path))
                if isinstance(record, RunRecord) and _can_be_made(record):
                    records[path] = record
    cells: dict[RunSpec, list[RunRecord]] = {}
    for record in records.values():
        cells.setdefault(record.spec.cell, []).append(record)
    found = []
    for path, record in records.items():
        others = [other for other in cells[record.spec.cell] if other is not record]
        if _alike(record):
            found.append(Candidate(path, record, None))
        elif len(others) >= FEWEST_OTHERS:
            found.append(Candidate(path, record, _tolerance(others)))
    return found


def _can_be_made(record: RunRecord) -> bool:
    spec = record.spec
    if OWN_METHOD.fullmatch(spec.method):  # its class is not here
        return False
    whole = not (spec.synthetic or spec.first_stage or spec.keep_state or spec.early_stopping_patience)
    named = "instructions" in record.environment and spec.precision in ("fp32", "tf32")
    return whole and named and seconds(spec) <= LONGEST and checkpoints.is_here(spec.model)


def seconds(spec: RunSpec) -> float:
    """How long a run takes on one core by counting, if it is scored once, at its end."""
    return costs.cpu_seconds(replace(spec, eval_epochs=spec.num_train_epochs))


def _alike(record: RunRecord) -> bool:
    """Whether this is the kind of machine that the record was made on."""
    here = machine.environment("fp32")
    return record.precision == "fp32" and all(record.environment.get(name) == here[name] for name in SAME)


def _tolerance(others: Sequence[RunRecord]) -> dict[str, float]:
    """What the other seeds of a run allow it; not its own record, which if wrong would allow itself anything."""
    return {name: SPREADS * stdev(other.last[name] for other in others) for name in COMPARED}


def draw(found: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    """A few of them at random, none so long that it leaves no time for the others: first one from the papers' tables,
    then methods of papers not drawn yet, and among these first one that has to match to the bit, if there are any.
    """
    chance, drawn, left, budget = random.Random(seed), [], list(found), count * USUAL
    while left and len(drawn) < count:
        shortest = min(candidate.seconds for candidate in left)
        time = max(budget - (count - len(drawn) - 1) * shortest, shortest)
        short = [candidate for candidate in left if candidate.seconds <= time]
        tables = [] if drawn else [candidate for candidate in short if candidate.of_tables]
        papers = {candidate.paper for candidate in drawn} | {None}
        other = [candidate for candidate in short if candidate.paper not in papers] or short
        exact = [candidate for candidate in other if candidate.tolerance is None]
        one_is_exact = any(candidate.tolerance is None for candidate in drawn)
        drawn.append(chance.choice(tables or (exact if exact and not one_is_exact else other)))
        left.remove(drawn[-1])
        budget -= drawn[-1].seconds
    return drawn


def _made(drawn: Sequence[Candidate]) -> list[RunRecord | str]:
    """The new records, or why there is none; as many at once as there are cores."""
    context = get_context("spawn")  # a fork of a process that has used its threads may hang
    with ProcessPoolExecutor(min(len(drawn), joblib.cpu_count()), mp_context=context) as pool:
        longest_first = sorted(drawn, key=lambda candidate: -candidate.seconds)  # so that no core waits for the last
        tasks = {candidate.path: pool.submit(_make, candidate.record) for candidate in longest_first}
        for _ in tqdm(as_completed(tasks.values()), desc="records made anew", total=len(tasks), unit="record"):
            pass
    return [tasks[candidate.path].result() for candidate in drawn]


def _make(record: RunRecord) -> RunRecord | str:
    """Train it in fp32, with as many threads as it was made with, scored once at the end."""
    import torch

    from mixlib.runs import training

    torch.set_num_threads(record.environment["threads"])
    if corpora.get(record.spec.dataset).own:
        own_data.read(paths.MESSAGES)  # by each process
    spec = replace(record.spec, precision="fp32", metric_for_best_model=None, curve_size=0)
    try:
        return training.execute(spec)
    except Exception as error:
        return f"failed: {type(error).__name__}: {error}"


def _row(candidate: Candidate, made: RunRecord | str) -> Row:
    old = candidate.record
    measured, verdict = ({}, made) if isinstance(made, str) else (made.last, _verdict(candidate, made))
    return Row(
        candidate.path.stem, old.spec.method, candidate.paper, old.spec.dataset, old.last, measured,
        candidate.tolerance, verdict,
    )  # fmt: skip


def _verdict(candidate: Candidate, new: RunRecord) -> str:
    old = candidate.record
    for name in ("train", "dev", "test", "model"):
        if name in old.data and old.data[name] != new.data[name]:
            return f"other {'weights' if name == 'model' else f'{name} examples'}"
    kept = old.data.get("predictions")  # of each example; without them, the scores
    said = new.data["predictions"] == kept if kept else all(new.last.get(k) == v for k, v in old.last.items())
    if new.train_losses == old.train_losses and said:
        return EQUAL
    if candidate.tolerance is None:
        return OUTSIDE
    differences = {name: abs(new.last[name] - old.last[name]) for name in COMPARED}
    within = all(difference <= candidate.tolerance[name] for name, difference in differences.items())
    return WITHIN if within and all(map(math.isfinite, differences.values())) else OUTSIDE
