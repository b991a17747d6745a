"""Run notebooks headless and put what they show into one HTML report."""

from __future__ import annotations

import html
import os
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from copy import deepcopy
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import latex2mathml.converter
import nbformat
import papermill as pm
from nbconvert import HTMLExporter
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from tqdm import tqdm

from mixlib import checkpoints, engines, paths, protocols
from mixlib.protocols import RECIPES
from mixlib.store import Store, holder, take, write

MARKER, LOCK = ".mixlib-report", ".lock"
STYLE = """
:root { color-scheme: light dark; --line: #8886; --mark: #b45309; --fine: #15803d; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem 1.5rem; max-width: 120rem; }
table { border-collapse: collapse; }
td, th { border-bottom: 1px solid var(--line); padding: .4rem .8rem; text-align: left; }
.panes { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.panes.single { grid-template-columns: 1fr; }
@media (max-width: 70rem) { .panes { grid-template-columns: 1fr; } }
figure { margin: 0; border: 2px solid var(--line); border-radius: .4rem; overflow: hidden; }
figcaption { padding: .5rem .8rem; font-weight: 600; }
.synthetic figcaption { border-bottom: 4px dashed var(--mark); }
.measured figcaption { border-bottom: 4px solid var(--fine); }
iframe { width: 100%; height: 82vh; border: 0; background: white; }
"""


class NotebookFailed(RuntimeError):
    """A notebook one of whose cells raised an error."""


def available() -> list[str]:
    """The names of all notebooks, in reading order; ``paths.NoCheckout`` where mixlib was installed without them."""
    return sorted(path.stem for path in paths.of_checkout(paths.NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"))


def choose(only: Sequence[str] = ()) -> list[str]:
    """Notebooks by artefact id, notebook name or number; all of them for an empty choice.

    Raises:
        ValueError: nothing of that name (with the nearest names), or an artefact that has no notebook yet.
    """
    names = available()
    chosen = []
    for wanted in only:
        by_number = [name for name in names if name.split("_")[0] == wanted or name == wanted]
        if wanted in RECIPES:
            chosen.append(RECIPES[wanted].notebook)
        elif by_number:
            chosen += by_number
        else:
            protocols.artefact_runs(wanted, "smoke") if "-" in wanted else None  # unknown ids are refused there
            if "-" in wanted:
                raise ValueError(f"{wanted} has no notebook yet; those that have: {', '.join(RECIPES)}")
            near = get_close_matches(wanted, [*names, *RECIPES], n=3, cutoff=0.3)
            hint = f"did you mean {', '.join(near)}?" if near else "`python -m mixlib list` names them"
            raise ValueError(f"no artefact or notebook {wanted!r}; {hint}")
    return [name for name in names if name in chosen] if only else names


@contextmanager
def environment(**values: str):
    """Set environment variables, which kernels inherit, for the time of a ``with`` block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def execute(
    name: str,
    output: Path,
    parameters: dict[str, object],
    store: Path | None = None,
    progress: bool = True,
    refreshing: bool = False,
) -> nbformat.NotebookNode:
    """Run one notebook through papermill. Folders that the environment names mean the same in it as here.

    Args:
        name: notebook, without suffix.
        output: where the executed notebook is written.
        parameters: put in the place of those in the notebook's ``parameters`` cell.
        store: record store of its runs, by default the repository's.
        progress: let runs show their progress bar in the output.
        refreshing: its figures are the committed ones.

    Raises:
        ValueError: a parameter that the notebook does not have.
        NotebookFailed: a cell failed; the notebook up to there is in ``output``.
    """
    source = paths.NOTEBOOKS / f"{name}.ipynb"
    known = pm.inspect_notebook(str(source))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    output.parent.mkdir(parents=True, exist_ok=True)
    variables = {"PYTHONPATH": os.pathsep.join([str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    variables |= {variable: str(folder) for variable in paths.FOLDERS if (folder := paths.named(variable))}
    if store:
        variables["MIXLIB_RESULTS"] = str(store)
    if not progress:
        variables["TQDM_DISABLE"] = "1"
    if refreshing:
        variables[paths.REFRESHING] = "1"
    try:
        with environment(**variables):
            return pm.execute_notebook(
                str(source), str(output), parameters=parameters, cwd=str(paths.NOTEBOOKS), progress_bar=False,
                kernel_name="python3", extra_arguments=["--IPKernelApp.log_level=40"],
            )  # fmt: skip
    except pm.PapermillExecutionError as error:
        raise NotebookFailed(
            f"{name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}; up to there it is in {output}"
        ) from error


def reproduce(
    profile: str,
    only: Sequence[str] = (),
    engine: str = "local",
    model: str | None = None,
    seeds: Sequence[int] | None = None,
    fresh: bool | None = None,
    output: Path | None = None,
) -> Path:
    """Run notebooks at a profile and write the report; returns its index page.

    All runs that the notebooks need are done first, in one sweep: they share workers, data and models, and one
    progress bar. The notebooks then find their records. An earlier report stays until they are done.

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        only: artefact ids or notebooks, all by default.
        engine: see :func:`mixlib.engines.get`.
        model, seeds: in place of the profile's.
        fresh: train from an empty record store (beside the report) instead of resuming from the repository's; by
            default only ``smoke`` does.
        output: folder of the report, by default ``build/report``.

    Raises:
        RunFailed: some runs failed; the others are done, and the notebooks were not begun.
        NotebookFailed: some notebooks failed; the report has the others, and those up to where they failed.
        ValueError: unknown names, or a folder that holds something else or that another ``reproduce`` is writing.
    """
    protocols.check_profile(profile)
    names = choose(only)
    overrides: dict[str, object] = {} if model is None else {"model": checkpoints.absolute(model)}
    if seeds is not None:
        overrides["seeds"] = list(seeds)
    made_here = [id_ for id_, recipe in RECIPES.items() if recipe.notebook in names]
    specs = [spec for id_ in made_here for spec in protocols.artefact_runs(id_, profile, **overrides)]
    folder = output or paths.BUILD / "report" / profile
    folder = Path(os.path.abspath(folder.expanduser()))
    fresh = profile == "smoke" if fresh is None else fresh
    store = folder.with_name(f"{folder.name}-records") if fresh else None
    parameters = {"profile": profile, "engine": engine} | overrides
    failed = {}
    with _alone(folder):
        if store:
            clear(store)
            tqdm.write(f"Records go to {store}; if stopped, go on with MIXLIB_RESULTS={store} and --resume", sys.stderr)
        executor = engines.get(engine)
        try:
            engines.run_all(dict.fromkeys(specs), executor, Store(store))
        finally:
            executor.close()
        clear(folder)
        bar = tqdm(names, desc="notebooks", unit="notebook")
        for name in bar:
            bar.set_postfix_str(name)
            executed = folder / "notebooks" / f"{name}.ipynb"
            try:
                execute(name, executed, parameters, store)
            except NotebookFailed as error:
                failed[name] = str(error)
            write_page(name, nbformat.read(executed, as_version=4), profile, fresh, folder)
        index = write_index(names, profile, fresh, folder)
    if failed:
        lines = [f"{len(failed)} of {len(names)} notebooks failed; the report is in {index}", *failed.values()]
        raise NotebookFailed("\n  ".join(lines))
    return index


@contextmanager
def _alone(folder: Path):
    """Nobody else writes this report meanwhile; ``ValueError`` if somebody does, or if it is no report."""
    _check_report(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = take(folder / LOCK)
    if lock is None:
        raise ValueError(
            f"another reproduce is writing {folder}, {holder(folder / LOCK)}: wait for it, or choose another --output"
        )
    try:
        _mark(folder)
        yield
    finally:
        Store.release(lock)
        if made and {path.name for path in folder.iterdir()} == {MARKER}:  # stopped before there was anything to show
            shutil.rmtree(folder)


def refresh(only: Sequence[str] = ()) -> list[Path]:
    """Execute notebooks at their own parameters (profile ``mini``) and write them back as they are committed.

    Progress bars are off and papermill's time stamps are removed, so that outputs stay the same from run to run.
    """
    from nbstripout import strip_output  # extra test: only those who commit notebooks need it

    written = []
    for name in tqdm(choose(only), desc="notebooks", unit="notebook"):
        path = paths.NOTEBOOKS / f"{name}.ipynb"
        executed = paths.BUILD / "refresh" / path.name
        execute(name, executed, {}, progress=False, refreshing=True)
        notebook = nbformat.read(executed, as_version=4)
        stamps = ["metadata.papermill", "cell.metadata.papermill", "cell.metadata.execution"]
        strip_output(notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=stamps)
        notebook.metadata.pop("papermill", None)
        write(path, lambda temporary, content=notebook: nbformat.write(content, temporary))
        written.append(path)
    return written


_TEX = re.compile(r"\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)


def clear(folder: Path) -> None:
    """Empty the folder of an earlier report; ``ValueError`` if it holds anything that is not one."""
    _check_report(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _mark(folder)  # first: whatever is left of it when this is stopped is still known as a report
    for path in folder.iterdir():
        if path.name not in (MARKER, LOCK):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _mark(folder: Path) -> None:
    (folder / MARKER).write_text("made by python -m mixlib reproduce, which may empty this folder\n")


def _check_report(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose another --output")
    if folder.exists() and not (folder / MARKER).exists() and {path.name for path in folder.iterdir()} - {LOCK}:
        raise ValueError(f"{folder} is not empty and not an earlier report: choose another --output, or empty it")


def _render(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook as a page that needs no network: equations as MathML instead of a script from elsewhere."""
    notebook = deepcopy(notebook)
    equations: list[str] = []

    def hold(match: re.Match) -> str:  # the exporter's own HTML clean-up would take MathML apart
        block = match["block"]
        equations.append(
            latex2mathml.converter.convert(block or match["inline"], display="block" if block else "inline")
        )
        return f"equation{len(equations) - 1}held"

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _TEX.sub(hold, cell.source)
        else:  # of a progress bar only its last state
            CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)
    exporter = HTMLExporter(template_name="lab", embed_images=True, mathjax_url="", require_js_url="", jquery_url="")
    body, _ = exporter.from_notebook_node(notebook)
    body = re.sub(r'<script[^>]*src="[^"]*"[^>]*></script>', "", body)
    body = re.sub(r"equation(\d+)held", lambda match: equations[int(match[1])], body)
    _write(path, body)


def _origin(profile: str, fresh: bool) -> str:
    how = "trained just now from an empty record store" if fresh else "from the records of this repository"
    if profile == "smoke":
        return f"SYNTHETIC: profile smoke, {how}, invented texts and a tiny random model. Not a result."
    return f"Profile {profile}, {how}."


def write_page(name: str, notebook: nbformat.NotebookNode, profile: str, fresh: bool, folder: Path) -> Path:
    """One page: what was just run, and beside it the committed notebook with its measured results."""
    _render(notebook, folder / "cells" / f"{name}.{profile}.html")
    panes = [("synthetic" if profile == "smoke" else "measured", _origin(profile, fresh), f"{name}.{profile}.html")]
    if profile != "mini" or fresh:
        _render(
            nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4), folder / "cells" / f"{name}.committed.html"
        )
        text = "MEASURED: profile mini, as committed: all-MiniLM-L6-v2 trained on real data."
        panes.append(("measured", text, f"{name}.committed.html"))
    figures = "".join(
        f'<figure class="{kind}"><figcaption>{html.escape(caption)}</figcaption>'
        f'<iframe src="cells/{file}" title="{html.escape(caption)}"></iframe></figure>'
        for kind, caption, file in panes
    )
    single = " single" if len(panes) == 1 else ""
    body = f'<p><a href="index.html">All notebooks</a></p><h1>{name}</h1><div class="panes{single}">{figures}</div>'
    return _write(folder / f"{name}.html", _document(name, body))


def write_index(names: Sequence[str], profile: str, fresh: bool, folder: Path) -> Path:
    """The report's first page: one line a notebook."""
    rows = []
    for name in names:
        first = nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4).cells[0].source.splitlines()[0]
        made = ", ".join(id_ for id_, recipe in RECIPES.items() if recipe.notebook == name)
        rows.append(
            f'<tr><td><a href="{name}.html">{name}</a></td><td>{html.escape(first[2:])}</td><td>{made}</td></tr>'
        )
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = (
        f"<h1>Mixup for text classification: report</h1><p>{html.escape(_origin(profile, fresh))} {when}</p>"
        "<p>Each page shows what was just run; where that is not the committed measurement, the committed one stands "
        "beside it.</p>"
        f"<table><tr><th>notebook</th><th>shows</th><th>artefacts</th></tr>{''.join(rows)}</table>"
    )
    return _write(folder / "index.html", _document("Report", body))


def _write(page: Path, content: str) -> Path:
    return write(page, lambda temporary: Path(temporary).write_text(content, encoding="utf-8"))


def _document(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>{body}</body></html>'
    )
