"""Command line: ``python -m mixlib COMMAND``. Results go to standard output, progress and errors to standard error."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import sys
from difflib import get_close_matches
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import click
    from click.core import ParameterSource
except ModuleNotFoundError:  # installed for MixupTrainer alone
    sys.exit(
        "Error: the command line needs more than MixupTrainer does: pip install '.[reproduce]' in mixlib's checkout"
    )

if TYPE_CHECKING:
    from mixlib.evidence.published import Artefact
    from mixlib.runs.records import Spec

MANY = 10**9  # more than anything here is counted to


class Numbers(click.ParamType):
    """``0,1,5-9`` as a list of integers."""

    name = "numbers"

    def convert(self, value, param, ctx):
        from mixlib.runs.profiles import numbers

        try:
            return value if isinstance(value, list) else numbers(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Word(click.ParamType):
    """Text that is not empty, as an unset shell variable would be."""

    name = "text"

    def convert(self, value, param, ctx):
        if not str(value).strip():
            self.fail("is empty; give a value, or leave the option out", param, ctx)
        return value


class Words(Word):
    """``a,b,c`` as a list of words, at least one."""

    name = "a,b"

    def convert(self, value, param, ctx):
        if isinstance(value, list):
            return value
        words = re.split(r",(?![^\[]*\])", super().convert(value.strip(", "), param, ctx))  # not within brackets
        return [word.strip() for word in words if word.strip()]


def _names(only: tuple[list[str], ...]) -> list[str]:
    """All names given to an option that may be repeated."""
    return [name for names in only for name in names]


class FilePath(click.Path):
    """A path that is not empty; ``~`` is the home folder. ``kinds``: ``dir_okay=False`` for a file, and the like."""

    def __init__(self, **kinds: bool) -> None:
        super().__init__(path_type=Path, **kinds)

    def convert(self, value, param, ctx):
        return super().convert(os.path.expanduser(Word().convert(value, param, ctx)), param, ctx)


def option_profile(default: str):
    return click.option("--profile", default=default, show_default=True, help="smoke, mini or full")


def _set_precision(ctx, param, value):
    """Set in the environment, so that notebooks and workers agree on it."""
    if value:
        before = os.environ.get("MIXLIB_PRECISION", "")
        ctx.call_on_close(lambda: os.environ.__setitem__("MIXLIB_PRECISION", before))
        os.environ["MIXLIB_PRECISION"] = value


def option_precision(otherwise: str) -> Any:
    """The option ``--precision``; ``otherwise`` says what is taken without it and without ``MIXLIB_PRECISION``."""
    return click.option(
        "--precision", type=click.Choice(["fp32", "bf16", "tf32"]), callback=_set_precision,
        expose_value=False, is_eager=True,
        help=f"number format of training and evaluation [default: MIXLIB_PRECISION, else {otherwise}]",
    )  # fmt: skip


OF_PROFILE = "bf16 at full on a GPU, else fp32"
OF_RUNS = f"that of the committed runs at mini, {OF_PROFILE}"
option_model = click.option(
    "--model",
    type=Word(),
    help="model in place of the profile's: tiny, all-MiniLM-L6-v2, a folder, or a name on the hub",
)
option_only = click.option(
    "--only",
    type=Words(),
    multiple=True,
    help="artefact ids, notebook names or notebook numbers; may be repeated or comma-separated",
)
option_seeds = click.option(
    "--seeds", type=Numbers(), help="seeds in place of the profile's, e.g. 0-4 or 0,2,7 (5 is seed 5 alone)"
)


ENGINE = ("engine", "address", "workers", "cpus_per_run", "gpus_per_run", "retries", "time_limit")


def options_engine(command):
    """Where runs execute, and how many at once: the command gets one ``engine``, as :func:`engines.get` reads it."""

    @wraps(command)
    def described(*arguments, **options):
        from mixlib.runs import engines

        return command(*arguments, engine=engines.describe(**{name: options.pop(name) for name in ENGINE}), **options)

    for option in reversed((
        click.option("--engine", default="local", show_default=True, help="local, or ray for several runs at once"),
        click.option("--address", type=Word(),
                     help="address of a Ray cluster to join, auto for this machine's [default: start a new one]"),
        click.option("--workers", type=int, help="maximum number of simultaneous runs [default: as many as fit]"),
        click.option("--cpus-per-run", type=int, help="CPUs and threads per run [default: 1 on ray]"),
        click.option("--gpus-per-run", type=float,
                     help="GPUs per run; 0.25 puts four runs on each GPU [default: 1 if there are GPUs]"),
        click.option("--retries", type=int, help="how often to restart a run whose worker died [default: 2]"),
        click.option("--time-limit", type=float, help="seconds after which a run is stopped and counts as failed"),
    )):  # fmt: skip
        described = option(described)
    return described


class Shard(click.ParamType):
    """``2/16`` as a pair of integers."""

    name = "I/N"

    def convert(self, value, param, ctx):
        parts = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(value))
        if not parts or int(parts[1]) >= int(parts[2]):
            self.fail(f"{value!r} is not a shard; four shards are 0/4, 1/4, 2/4 and 3/4", param, ctx)
        return int(parts[1]), int(parts[2])


class Group(click.Group):
    """Errors of the library become one message and exit code 1; a traceback is for bugs."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):  # the end of --help, Ctrl-C, and of `| head`
            raise
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] == "mixlib":
                raise
            raise click.ClickException(
                f"the package {error.name} is not installed: in mixlib's checkout, pip install --editable "
                "'.[reproduce,test]'"
            ) from error
        except (ValueError, OSError, RuntimeError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mixlib")
def main() -> None:
    """Mixup for text classification: four papers, reproduced."""


def _overview(artefact: Artefact, store) -> dict:
    from mixlib.papers import registry

    recipe = registry.RECIPES.get(artefact.id)
    runs, done = {}, {}
    for profile in registry.PROFILES:
        specs = set(registry.artefact_runs(artefact.id, profile))
        runs[profile] = len(specs)
        done[profile] = len(specs) - len(store.missing(specs))
    return {
        "id": artefact.id,
        "paper": artefact.paper,
        "artefact": artefact.artefact,
        "notebook": recipe.notebook if recipe else None,
        "runs": runs,
        "done": done,
    }


@main.command("list")
@click.option("--json", "as_json", is_flag=True, help="an array of objects on standard output, nothing else")
def list_(as_json: bool) -> None:
    """List every table, figure and algorithm of the papers, with its notebook, its runs and how many are done."""
    from mixlib.papers import registry
    from mixlib.runs.store import Store

    rows = [_overview(artefact, Store()) for artefact in registry.artefacts()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        counts = "  ".join(f"{p} {row['done'][p]}/{n}" for p, n in row["runs"].items() if n)
        click.echo(f"{row['id']:24} {row['notebook'] or 'not built yet':26} {counts}")


@main.command()
@option_profile("mini")
@option_only
@options_engine
@option_model
@option_precision(OF_RUNS)
@option_seeds
@click.option("--fresh/--resume", default=None,
              help="train from an empty record store (default at smoke), or resume from the repository's")  # fmt: skip
@click.option("--output", type=FilePath(), help="folder of the site [default: build/reproduce/PROFILE]")
def reproduce(profile, only, model, seeds, fresh, output, engine) -> None:
    """Run the notebooks headless and build a site from them.

    At mini, with the committed settings, notebooks read the repository's records, and meanwhile a few of the runs
    behind them are repeated on this machine (see verify). Otherwise all runs that the notebooks need are done first, in
    one sweep.
    """
    from mixlib.book import notebooks
    from mixlib.runs import engines

    engines.get(engine)
    index = notebooks.reproduce(profile, _names(only), engine, model, seeds, fresh, output)
    click.echo(f"Site: {index}")


@main.command()
@click.option("--output", type=FilePath(), help="folder of the site [default: build/site]")
def site(output) -> None:
    """Build the book as one site, from the committed notebooks and records; a Sphinx warning is an error."""
    from mixlib.book import site
    from mixlib.runs import paths

    paths.of_checkout(paths.NOTEBOOKS)
    folder = output or paths.BUILD / "site"
    with site.alone(folder):
        click.echo(f"Site: {site.build(folder)}")


@main.command("update-notebooks")
@option_only
@click.option("--raise-seeds", is_flag=True, help="first let notebooks and verdicts read every complete seed there is")
def update_notebooks(only, raise_seeds) -> None:
    """Execute the notebooks in place at profile mini, as they are committed, and write the generated parts of README
    and of the book's pages."""
    from mixlib.book import findings, generated, notebooks
    from mixlib.evidence.verdicts import Records
    from mixlib.runs import paths
    from mixlib.runs.store import write_text

    if raise_seeds and only:
        raise ValueError("--raise-seeds changes what all notebooks read: leave out --only")
    names = notebooks.choose(_names(only))
    if asked := os.environ.get("MIXLIB_PRECISION"):
        raise ValueError(f"what is committed is read in the precision decided on: unset MIXLIB_PRECISION ({asked})")
    if paths.results().resolve() != (paths.DATA / "results").resolve():
        raise ValueError(f"what is committed is read from data/results: unset MIXLIB_RESULTS ({paths.results()})")
    before = paths.EVIDENCE.read_bytes()
    try:
        if raise_seeds:
            from mixlib.evidence import gate
            from mixlib.papers import registry

            def read() -> list[list[Spec]]:
                return [registry.artefact_runs(id_, "mini") for id_ in registry.RECIPES]

            for cell, seeds in gate.raise_seeds(chapters=read).items():
                click.echo(f"{cell}: {len(seeds)} seeds, to {seeds[-1]}")
        for path in notebooks.update(names):
            click.echo(path)
    except BaseException:
        paths.EVIDENCE.write_bytes(before)  # so that notebooks, README and pages read the same seeds
        raise
    for page, parts in generated.parts(findings.Findings(Records())).items():
        file = paths.ROOT / page
        write_text(file, generated.filled(file.read_text(encoding="utf-8"), parts))


def _only(field: str, wanted: list[str] | None, specs: list[Spec]) -> list[Spec]:
    """Those of the runs, and of the studies about a run, whose ``dataset`` or ``method`` is one of ``wanted``.

    Raises:
        ValueError: one of ``wanted`` occurs in none of them (the message names the nearest that do).
    """

    def of(spec: Spec) -> str | None:
        about = getattr(spec, "params", {})
        return getattr(spec, field, None) or about.get("run", about).get(field)

    there = {name for spec in specs if isinstance(name := of(spec), str)}
    for name in wanted or ():
        if name not in there:
            near = get_close_matches(name, sorted(there), n=3, cutoff=0)
            hint = f"did you mean {', '.join(near)}?" if near else "there are no runs to choose from"
            raise ValueError(f"none of the runs has the {field} {name!r}; {hint}")
    return specs if wanted is None else [spec for spec in specs if of(spec) in wanted]


@main.command()
@click.argument("artefacts", nargs=-1, required=True)
@option_profile("mini")
@options_engine
@option_model
@option_precision(OF_RUNS)
@option_seeds
@click.option("--datasets", type=Words(), help="only runs on these, e.g. sst2,rte")
@click.option("--methods", type=Words(), help="only runs of these, e.g. none,ssmix; common-protocol takes any method")
@click.option("--max-steps", type=click.IntRange(1, MANY), help="only try runs out: stop after this many updates")
@click.option(
    "--limit",
    type=click.IntRange(1, MANY),
    help="only the first N missing runs, or a few more so that second stages stay with their first stage",
)
@click.option("--shard", type=Shard(), help="only part I of N, from 0/N on; every job divides the runs in the same way")
def run(artefacts, profile, model, seeds, datasets, methods, max_steps, limit, shard, engine) -> None:
    """Do the runs that these ARTEFACTS still lack.

    ARTEFACTS are ids (see `list`) or 'all'; below profile full also cells (see `cells`), 'evidence' (all cells), or a
    part of it: screening, pool, papers, studies, sensitivity, last, more.

    If a run starts from the weights of another one, that one is done first. If a run fails, the others are still done
    and the exit code is 1; the same command tries the failed runs again.
    """
    from mixlib.methods import names as known_methods
    from mixlib.papers import registry
    from mixlib.runs import engines, paths
    from mixlib.runs.spec import RunSpec
    from mixlib.runs.store import Store

    named = list(dict.fromkeys(name for name in artefacts if name != "all"))
    ids = [*(a.id for a in registry.artefacts() if "all" in artefacts), *named]
    more = {"more": [name for name in methods or () if name in known_methods()]}
    takes_more = {id_ for id_ in named if id_ in registry.RECIPES and registry.RECIPES[id_].takes_more}
    runs = {
        id_: registry.artefact_runs(id_, profile, model=model, seeds=seeds, **(more if id_ in takes_more else {}))
        for id_ in ids
    }
    for id_ in named:
        if not runs[id_]:
            click.echo(f"{id_} has no {'such ' if seeds else ''}runs at profile {profile}", err=True)
    specs = [spec for found in runs.values() for spec in found]
    specs = _only("dataset", datasets, _only("method", methods, specs))
    if max_steps:
        if studies := sum(not isinstance(spec, RunSpec) for spec in specs):
            click.echo(f"{studies} studies are left out: --max-steps is for runs", err=True)
        specs = [spec.trial(max_steps) for spec in specs if isinstance(spec, RunSpec)]
    if shard:
        specs = engines.shard(specs, *shard)
    store, engine = Store(paths.trials() if max_steps else None), engines.get(engine)
    missing = store.missing(specs)
    where = f"; trials, kept in {store.folder}" if max_steps else ""
    click.echo(f"{len(set(specs))} runs, {len(missing)} to do{where}", err=True)
    for record in engines.run_all(engines.limited(missing, limit), engine, store):
        click.echo(f"{record.spec}: {record.summary}")


def _state(profile: str, name: str, specs: list, store, known) -> dict:
    missing = store.missing(specs)
    cost = known.estimate(missing)
    return {
        "profile": profile,
        "artefact": name,
        "runs": len(specs),
        "done": len(specs) - len(missing),
        "failed": sum(store.failure(spec) is not None for spec in missing),
        "missing": len(missing),
        "seconds": round(cost.seconds, 1),
        "seconds_of": cost.machine,
        "gpu_hours": round(cost.gpu_seconds / 3600, 3),
        "rest": str(cost) if missing else "complete",
    }


@main.command()
@click.argument("artefacts", nargs=-1)
@click.option("--profile", "profiles", multiple=True, help="smoke, mini or full [default: all]")
@option_model
@option_precision(OF_RUNS)
@option_seeds
@click.option("--json", "as_json", is_flag=True, help="an array of objects on standard output, nothing else")
def status(artefacts, profiles, model, seeds, as_json) -> None:
    """Show how many runs of each artefact (or of these ARTEFACTS) are done, failed and missing, and what the rest would
    cost.

    A failed run is a missing run whose last attempt ended in an error.
    """
    from mixlib.papers import registry
    from mixlib.runs import costs, machine
    from mixlib.runs.store import Store

    store = Store()
    records, left_out = store.scan()
    known, rows = costs.Costs(records, machine.machine_class()), []
    for profile in profiles or registry.PROFILES:
        registry.check_profile(profile)
        everything: dict = {}
        for id_ in artefacts or [a.id for a in registry.artefacts()]:
            specs = dict.fromkeys(registry.artefact_runs(id_, profile, model=model, seeds=seeds))
            everything |= specs
            if specs:
                rows.append(_state(profile, id_, list(specs), store, known))
            elif artefacts and profiles:
                click.echo(f"{id_} has no runs at profile {profile}", err=True)
        if not artefacts:
            rows.append(_state(profile, "all, each run once", list(everything), store, known))
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        click.echo(f"{'':8} {'':24} {'done':>5} {'failed':>6} {'missing':>7}   the rest")
        for row in rows:
            counts = f"{row['done']:5} {row['failed']:6} {row['missing']:7}"
            click.echo(f"{row['profile']:8} {row['artefact']:24} {counts}   {row['rest']}")
        if "full" in (profiles or registry.PROFILES):
            click.echo(f"At full, these are runs in {machine.default_precision('full')}; --precision shows others.")
        click.echo(costs.ASSUMPTIONS)
    for path, reason in left_out.items():
        click.echo(f"left out: {path}: {reason}", err=True)


@main.command()
@click.argument("paper", required=False)
@click.option(
    "--only", type=Words(), multiple=True, help="id of a claim such as ssmix-1; may be repeated or comma-separated"
)
@click.option("--json", "as_json", is_flag=True, help="an array of objects on standard output, nothing else")
def claims(paper, only, as_json) -> None:
    """Show the claims of all papers (or of PAPER) with their verdicts, from the records and seeds that are read."""
    import mixlib.papers.registry  # noqa: F401 (hands them in)
    from mixlib.evidence import verdicts

    ids = _names(only) or None
    records = verdicts.Records()
    found = [verdicts.as_json(verdict, records) for verdict in verdicts.verdicts(paper, ids, records).values()]
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for row in found:
        click.echo(f"{row['id']}: {row['verdict']} ({len(row['records'])} records)\n  {row['claim']}")
        click.echo(f"  {row['rule']}\n  {row['words']}")


@main.command()
@click.argument("data", type=Word())
@click.option("--text", type=Word(), default="text", show_default=True, help="name of the text column")
@click.option("--text-b", type=Word(), help="name of the column with the second text, for pairs")
@click.option("--label", type=Word(), default="label", show_default=True,
              help="name of the label column; labels are text, whole numbers, or true and false")  # fmt: skip
@click.option("--test", type=Word(), help="file with at least 20 test rows and the same columns [default: a fifth of "
              "DATA, at most 5,000 rows, drawn for each seed]")  # fmt: skip
@click.option("--methods", "only", type=Words(), help="comma-separated, e.g. cls_mixup,tmix:alpha=0.4; none is "
              "always included; all names: python -c 'from mixlib import methods; print(*methods.names())' "
              "[default: label_smoothing, cls_mixup, tmix, amplify, ssmix]")  # fmt: skip
@click.option(
    "--seeds",
    type=Numbers(),
    default="0-4",
    show_default=True,
    help="which seeds, e.g. 0-4 or 0,2,7 (5 is seed 5 alone); with fewer than four nothing is decided",
)
@click.option(
    "--model", type=Word(), default="all-MiniLM-L6-v2", show_default=True, help="model: a folder, or a name on the hub"
)
@click.option("--learning-rate", type=float, help="[default: 1e-4 for MiniLM, else 3e-5; twice that from 6 classes on]")
@click.option("--epochs", type=click.IntRange(1), help="[default: enough for about 300 updates, 3 to 10]")
@click.option("--batch-size", type=click.IntRange(2), help="[default: 16]")
@click.option("--max-length", type=click.IntRange(4), help="in tokens; longer texts are cut [default: 128]")
@click.option("--train-size", type=click.IntRange(2), help="rows to train on [default: all that are left]")
@click.option("--results", type=FilePath(file_okay=False),
              help="folder for records and page [default: mixlib-results next to DATA]")  # fmt: skip
@click.option("--page", type=FilePath(dir_okay=False),
              help="HTML file to write [default: NAME.html in the results folder]")  # fmt: skip
@click.option("--estimate", is_flag=True, help="describe the data and what the runs would cost, and run nothing")
@click.option("--json", "as_json", is_flag=True, help="one object on standard output, nothing else")
@option_precision("fp32")
@options_engine
def compare(data, only, page, estimate, as_json, engine, **rest) -> None:
    """Compare methods on your own DATA: a table, a page, and the result in one sentence.

    DATA is a .csv (with a header line), .tsv, .parquet, .jsonl or .json file, a folder of such files, or a data set on
    the Hugging Face hub (OWNER/NAME or OWNER/NAME:CONFIGURATION). In a folder or on the hub, the split test, else
    validation, provides the test rows.

      python -m mixlib compare mine.csv --text text --label label

    All methods are trained with the same seeds and the same recipe. Splits are stratified by class. The cost is
    estimated before anything runs. Finished runs are kept: a comparison that was stopped resumes where it left off, and
    with another method or seed only the new runs are done. If a file cannot be used, the error names row and column.

    --json prints sentence, cost, recipe, data, page and methods: for each method its seeds, its training time (no mixup
    = 1), and for accuracy, nll, ece and brier (fractions and nats) the mean, the difference from no mixup with low and
    high (95% interval), and decided, raw and scaled (after temperature scaling).
    """
    from mixlib.comparing import compare as comparing
    from mixlib.runs import engines

    engines.get(engine)
    plan = comparing.plan(data, methods=only or comparing.DEFAULT, **rest)
    if estimate:
        cost = plan.cost()
        lines = [*plan.describe(), comparing.cost_as_text(cost)]
        click.echo(
            json.dumps({"cost": cost, "plan": plan.describe()}, indent=1, ensure_ascii=False)
            if as_json
            else "\n".join(lines)
        )
        return
    found = comparing.run(plan, engine)
    path = found.page(page)
    if as_json:
        click.echo(json.dumps(found.as_json() | {"page": str(path)}, indent=1, ensure_ascii=False))
        return
    click.echo(f"{found}\n\nPage: {path}\n{found.sentence}")


@main.command("error-rates")
@click.option(
    "--experiments",
    default=2000,
    show_default=True,
    type=click.IntRange(100, 10**6),
    help="simulated experiments per claim and assumed true effect",
)
@click.option("--output", type=FilePath(), help="write all rates to this .csv file")
def error_rates(experiments, output) -> None:
    """Show how often the rule for verdicts would err, by simulating every claim's design (seconds)."""
    import mixlib.papers.registry  # noqa: F401 (hands them in)
    from mixlib.evidence import designs
    from mixlib.evidence import error_rates as simulation

    if output and output.suffix != ".csv":
        raise ValueError(f"--output must end in .csv, got {output}")
    table = simulation.rates(designs.designs(), experiments)
    if output:
        table.to_csv(output, index=False, float_format="%.4f")
    click.echo(simulation.summary(table))


@main.command()
def gate() -> None:
    """Decide, once and for all, which newly screened cells are alive, and write data/evidence.json."""
    import mixlib.papers.registry  # noqa: F401 (hands them in)
    from mixlib.evidence import gate, plan

    for name in gate.decide():
        found = plan.decided().screened[name]
        alive = " and ".join(plan.decided().alive[name]) or "nothing"
        click.echo(f"{name}: alive for {alive}; plain model {found}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="an array of objects on standard output, nothing else")
def cells(as_json) -> None:
    """Show the cells on which claims are judged: how many seeds are read, in which precision, and how many are wanted.

    Twelve seeds are wanted where the standard error of a claim's contrast is above 0.36 points; elsewhere six, or as
    many as were planned. `python -m mixlib run CELL --seeds 100-111` does the missing runs in the cell's precision.
    tf32 needs an NVIDIA GPU; `--precision fp32` repeats the whole cell on any machine. `update-notebooks --raise-seeds`
    makes notebooks and verdicts read what is complete.
    """
    import mixlib.papers.registry  # noqa: F401 (hands them in)
    from mixlib.evidence import progress, verdicts

    table = progress.table(verdicts.Records())
    if as_json:
        click.echo(table.reset_index(names="cell").to_json(orient="records", indent=1))
        return
    for name, row in table.iterrows():
        read = f"{row['seeds']:2} seeds {row['precision']}" if row["seeds"] else " 0 seeds     "
        error = "" if math.isnan(row["error"]) else f"standard error {row['error']:.2f} ({row['claim']})"
        lacks = f"wants {row['wanted']}, has {row['complete']}"
        if row["complete"] >= row["wanted"]:
            lacks = "complete" if row["seeds"] >= row["wanted"] else "complete, not read yet"
        click.echo(f"{name:50}{read}   {lacks:22} {error}".rstrip())


@main.command()
@click.option("--json", "as_json", is_flag=True, help="one object on standard output, nothing else")
@click.option("--lengths", default="trec", show_default=True, help="trec or mrpc: whose text lengths to use")
@click.option("--methods", "only", type=Words(), help="comma-separated [default: all]")
@click.option("--sweep", is_flag=True, help="time whole runs instead, one after another and with --engine")
@click.option("--runs", default=100, show_default=True, type=click.IntRange(1, MANY), help="with --sweep: how many")
@click.option("--tokens", type=Numbers(), default="12,16,32,64", show_default=True, help="with --sweep: text lengths")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, MANY), help="with --sweep: run pairs")
@click.option("--profile", help="with --sweep: smoke, mini or full [default: smoke; for the comparison with Trainer, "
              "mini if its data and model are here]")  # fmt: skip
@option_model
@option_precision(OF_PROFILE)
@options_engine
@click.pass_context
def bench(ctx, as_json, lengths, only, sweep, runs, tokens, rounds, profile, model, engine) -> None:
    """Time a training step of each method against a plain step on the same 32 rows.

    With --sweep, it times three things: what a run costs in addition to its training; how much faster an engine does a
    grid of runs than one run after another on one thread; and how a run compares with the same run under transformers'
    own Trainer, which scores everything after each epoch. --tokens and --rounds concern this last comparison.
    """
    from mixlib.evidence.cells import RECIPE
    from mixlib.papers import registry
    from mixlib.runs import bench as benchmark
    from mixlib.runs import throughput

    unused = ("lengths", "only") if sweep else ("runs", "tokens", "rounds", "profile", "model", *ENGINE)
    for option in ctx.command.params:
        if option.name in unused and ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} is {'not for' if sweep else 'only for'} --sweep", ctx)
    if sweep:
        throughput.check_lengths(tokens, rounds)
        whose, ids = registry.check_profile(profile or "smoke"), [a.id for a in registry.artefacts()]
        specs = [spec for id_ in ids for spec in registry.artefact_runs(id_, whose, model=model)]
        result = {"profile": whose, **throughput.measure(specs, engine, runs)}
        result["trainer"] = throughput.beside_trainer(RECIPE, tokens, rounds, profile and profile == "smoke")
        lines = [f"{result['machine']}, {result['runs']} runs of profile {result['profile']}"]
        for row in result["engines"]:
            lines += [
                f"{row['engine']}: {row['seconds']:.1f} s, {row['ratio']:.2f} times as fast as one after another",
                f"  {row['workers']} at once; started, with two first runs each, in {row['start_seconds']:.1f} s",
                f"  a run: {row['train_seconds']:.2f} s of training and evaluation, "
                f"{row['beside_seconds']:.2f} s of other work",
            ]
        for row in result["trainer"]:
            lines.append(
                f"{row['tokens']} tokens, {row['model']}: {row['seconds']:.1f} s per run, {row['ratio']:.2f} of what "
                "the same run takes under transformers' Trainer "
                f"({row['rounds']} pairs, losses equal to {row['loss_difference']:.0e})"
            )
        click.echo(json.dumps(result, indent=1) if as_json else "\n".join(lines))
        return
    result = benchmark.run(lengths, only=only)
    if as_json:
        click.echo(json.dumps(result, indent=1))
        return
    click.echo(f"{result['device']}, {result['threads']} threads, {result['precision']}, {result['rounds']} rounds")
    for row in result["methods"]:
        several = f", {row['updates_per_batch']} updates per batch" if row["updates_per_batch"] > 1 else ""
        click.echo(f"{row['method']:18} {1000 * row['seconds']:9.1f} ms   {row['ratio']:.2f} x none{several}")


@main.command("check-records")
@click.argument("folder", required=False, type=FilePath())
def check_records(folder) -> None:
    """Check that the records in FOLDER [default: the repository's] are consistent. If not, exit with code 1 and print
    one line per fault.

    It checks that each record agrees with itself and its predictions, that no run is there twice or in the wrong place,
    that runs which are compared saw the same rows, and that second stages started from the weights of their first
    stage.
    """
    from mixlib.runs import check

    found = check.check(folder)
    for path, fault in found.faults:
        click.echo(f"{path}: {fault}")
    for note in found.notes:
        click.echo(note, err=bool(found.faults))
    click.echo(f"{found.records} records, {len(found.faults) or 'no'} faults", err=bool(found.faults))
    if found.faults:
        sys.exit(1)


@main.command()
@click.option("--records", "count", default=3, show_default=True, type=click.IntRange(1, MANY), help="runs to repeat")
@click.option("--dataset", type=Word(), help="only records on this data set [default: all data sets that are here]")
@click.option("--seed", type=click.IntRange(0, MANY), help="seed of the draw [default: a different one each time]")
@click.option("--json", "as_json", is_flag=True, help="one object on standard output, nothing else")
def verify(count, dataset, seed, as_json) -> None:
    """Repeat the runs of a few committed records, drawn at random, and compare the results (minutes).

    They must match bit for bit on the kind of machine that made the records, and within a tolerance elsewhere. Exit
    code 1 if one does not.
    """
    from mixlib.book import verify

    result = verify.verify(count, dataset, seed)
    click.echo(json.dumps(result.as_json(), indent=1) if as_json else str(result))
    if not result.ok:
        sys.exit(1)


@main.command()
@click.argument("path", type=FilePath())
@click.option("--synthetic", is_flag=True, help="include runs on synthetic twins, which are not results")
def export(path, synthetic) -> None:
    """Write all runs as one table to PATH (.parquet or .csv): one row per run, metrics as fractions and nats."""
    from mixlib.runs import export as exports

    count, left_out = exports.export(path, synthetic=synthetic)
    for file, reason in left_out.items():
        click.echo(f"left out: {file}: {reason}", err=True)
    click.echo(f"{count} runs in {path}")


@main.command("diff-records")
@click.argument("a", type=FilePath())
@click.argument("b", type=FilePath())
def diff_records(a, b) -> None:
    """Show which test metrics moved from A to B, two folders of records or exported tables. Exit code 1 if any did."""
    from mixlib.runs import export as exports

    found = exports.difference(exports.load(a), exports.load(b))
    for row in found.cells.to_dict("records"):
        means = [f"{name} {row[name]:+.6f}" for name in exports.METRICS if row[name] != 0]
        click.echo(f"{row['cell']}: {row['moved']} of {row['runs']} runs moved, by {row['largest']:.6f} at most")
        click.echo(f"  mean difference: {', '.join(means) or 'none'}")
    click.echo(f"{found.equal} runs equal to the bit, {found.moved} moved in {len(found.cells)} cells, "
               f"{found.only_in_a} only in {a}, {found.only_in_b} only in {b}")  # fmt: skip
    if found.moved:
        sys.exit(1)


@main.command("count-data")
def count_data() -> None:
    """Count the data sets that are available and write data/corpora.json, which notebooks 20 and 30 read.

    What it says about data sets that are not available is kept.
    """
    from mixlib.runs import corpora, paths
    from mixlib.runs.store import write_text

    found = {}
    for name in corpora.CORPORA:
        try:
            found[name] = corpora.counted(name)
        except corpora.DataUnavailable:
            kept = "; its earlier entry is kept" if name in corpora.committed_counts() else ""
            click.echo(f"{name}: not available{kept}", err=True)
    text = json.dumps(corpora.committed_counts() | found, indent=1, sort_keys=True) + "\n"
    write_text(paths.CORPORA_COUNTS, text)
    click.echo(f"{len(found)} data sets in {paths.CORPORA_COUNTS}")


@main.command()
def doctor() -> None:
    """Show what this machine has: packages, GPU, data, models, records. Exit code 1 if something needed is broken."""
    import torch

    from mixlib.papers import registry
    from mixlib.runs import corpora, machine, models, paths
    from mixlib.runs.store import Store

    broken = []
    click.echo(f"python      {platform.python_version()}")
    for name in ("torch", "transformers", "datasets", "papermill", "jupyterlab", "seaborn", "pandas"):
        try:
            click.echo(f"{name:11} {version(name)}")
        except PackageNotFoundError:
            broken.append(f"{name} is not installed: pip install '.[reproduce]' in mixlib's checkout")
    for name, use in (("nbval", "the tests need it: pip install '.[test]' in mixlib's checkout"),
                      ("ray", "several runs at once need it: pip install '.[ray]' in mixlib's checkout")):  # fmt: skip
        try:
            click.echo(f"{name:11} {version(name)}")
        except PackageNotFoundError:
            click.echo(f"{name:11} not installed; {use}")
    click.echo(f"device      {machine.machine_class()}, {torch.get_num_threads()} threads")
    fast = "has instructions for bfloat16" if machine.bf16_is_fast() else "would emulate bfloat16"
    at = ", ".join(f"{machine.default_precision(profile)} at {profile}" for profile in registry.PROFILES)
    click.echo(f"precision   {at}; this machine {fast}")
    folder = corpora.data_folder()
    for variable in ("MIXLIB_DATA", "MIXLIB_MODELS"):
        if (there := paths.named(variable)) and not there.is_dir():
            broken.append(f"{variable} is {there}, which is not a folder")
    here = "banking77 is here, " if corpora.at_hand("banking77") else ""
    click.echo(f"data        MIXLIB_DATA {folder or f'is not set: {here}the rest comes from the hub'}")
    if folder and folder.is_dir():
        for name in corpora.CORPORA:
            if not corpora.at_hand(name):  # reading it would try the hub
                click.echo(f"  {name:14} not complete there")
                continue
            try:
                sizes = [f"{split} {len(corpora.load_split(name, split).rows)}" for split in corpora.splits_of(name)]
                click.echo(f"  {name:14} {', '.join(sizes)}")
            except corpora.DataDiffers as error:
                broken.append(str(error))
    place = models.find(models.MINILM)
    click.echo(
        f"model       {models.MINILM}: {place if Path(place).is_dir() else 'from the hub (extra offline: from PyPI)'}"
    )
    try:
        records, left_out = Store().scan()
        click.echo(f"records     {len(records)} usable in {Store().folder}")
        broken += [f"{path}: {reason}" for path, reason in left_out.items()]
    except paths.NoCheckout as error:
        click.echo(f"records     none: {error}")
    for problem in broken:
        click.echo(f"problem: {problem}", err=True)
    if broken:
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m mixlib")
