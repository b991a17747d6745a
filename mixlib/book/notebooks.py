"""Run notebooks headless, either to build a site from what they show or in place, as they are committed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import chdir, contextmanager
from difflib import get_close_matches
from pathlib import Path

import joblib
import nbformat
import papermill as pm
from tqdm import tqdm

from mixlib.book import site, verify
from mixlib.evidence import plan
from mixlib.papers import registry
from mixlib.papers.registry import RECIPES
from mixlib.runs import checkpoints, engines, paths
from mixlib.runs.store import Store, write, write_text

MOST_AT_ONCE = 4  # notebooks: each kernel takes more than half a gigabyte
FORKED = {"JUPYTER_DEFAULT_PROVISIONER_NAME": "mixlib-fork"} if hasattr(os, "fork") else {}  # mixlib.book.kernels


class NotebookFailed(RuntimeError):
    """A notebook with a cell that raised an error."""


class NotMadeAnew(RuntimeError):
    """Committed records that came out differently on this machine."""


def available() -> list[str]:
    """The names of all notebooks, in reading order; ``paths.NoCheckout`` where mixlib was installed without them."""
    return sorted(path.stem for path in paths.of_checkout(paths.NOTEBOOKS).glob("[0-9][0-9]_*.ipynb"))


def choose(only: Sequence[str] = ()) -> list[str]:
    """Notebooks by artefact id, notebook name or number; all of them for an empty choice.

    Raises:
        ValueError: nothing of that name (with the nearest names), or an artefact without a notebook yet.
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
            if wanted in plan.names():
                raise ValueError(f"{wanted} is a cell or a part of the evidence; name an artefact or a notebook")
            registry.artefact_runs(wanted, "smoke") if "-" in wanted else None  # unknown ids are refused there
            if "-" in wanted:
                raise ValueError(f"{wanted} has no notebook yet; those that have: {', '.join(RECIPES)}")
            near = get_close_matches(wanted, [*names, *RECIPES], n=3, cutoff=0.3)
            hint = f"did you mean {', '.join(near)}?" if near else "`python -m mixlib list` names them"
            raise ValueError(f"no artefact or notebook {wanted!r}; {hint}")
    return [name for name in names if name in chosen] if only else names


@contextmanager
def environment(**values: str):
    """Set environment variables, which kernels inherit, for the duration of a ``with`` block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def execute_all(
    outputs: Mapping[str, Path], parameters: dict[str, object], store: Path | None = None
) -> dict[str, str]:
    """Run notebooks, several at once; returns, for each that failed, what happened. The others are still run.

    Each has its own kernel, which is a process; threads of this process wait for them, so the environment is set once
    for all. After Ctrl-C no further notebook is started.

    Args:
        outputs: by notebook, where it is written.
        parameters: replace those in the notebooks' ``parameters`` cells.
        store: record store of their runs, by default the repository's.
    """
    failed: dict[str, str] = {}
    bar = tqdm(desc="notebooks", unit="notebook", total=len(outputs))
    with (
        bar,
        environment(**_variables(store), **FORKED),
        chdir(os.getcwd()),  # back to it at the end: papermill changes it, and notebooks that overlap leave it changed
        ThreadPoolExecutor(max(1, min(joblib.cpu_count(), MOST_AT_ONCE))) as pool,
    ):
        running = {pool.submit(_execute, name, path, parameters): name for name, path in outputs.items()}
        try:
            for done in as_completed(running):
                try:
                    done.result()
                except NotebookFailed as error:
                    failed[running[done]] = str(error)
                bar.set_postfix_str(running[done], refresh=False)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return {name: failed[name] for name in outputs if name in failed}


def _execute(name: str, output: Path, parameters: dict[str, object]) -> nbformat.NotebookNode:
    """Run one notebook through papermill, in the environment there is.

    Raises:
        ValueError: a parameter that the notebook does not have.
        NotebookFailed: a cell failed, and the notebook up to there is in ``output``; or its kernel died.
    """
    source = paths.NOTEBOOKS / f"{name}.ipynb"
    known = pm.inspect_notebook(str(source))
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"{name} has no parameter {', '.join(unknown)}; it has {', '.join(known) or 'none'}")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        return pm.execute_notebook(
            str(source), str(output), parameters=parameters, cwd=str(paths.NOTEBOOKS), progress_bar=False,
            kernel_name="python3", extra_arguments=["--IPKernelApp.log_level=40"],
        )  # fmt: skip
    except pm.PapermillExecutionError as error:
        raise NotebookFailed(
            f"{name}: cell {error.exec_count} failed with {error.ename}: {error.evalue}; the notebook up to there is "
            f"in {output}"
        ) from error
    except RuntimeError as error:  # its kernel did not start, or died, as for want of memory
        raise NotebookFailed(f"{name}: {error}; if memory ran out, run fewer chapters at once (--only)") from error


def _variables(store: Path | None = None, progress: bool = True, updating: bool = False) -> dict[str, str]:
    """What a kernel's environment says in addition to this one."""
    variables = {"PYTHONPATH": os.pathsep.join([str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}
    variables |= {variable: str(folder) for variable in paths.FOLDERS if (folder := paths.named(variable))}
    if store:
        variables["MIXLIB_RESULTS"] = str(store)
    if not progress:
        variables["TQDM_DISABLE"] = "1"
    if updating:
        variables[paths.UPDATING] = "1"
    return variables


def reproduce(
    profile: str,
    only: Sequence[str] = (),
    engine: str = "local",
    model: str | None = None,
    seeds: Sequence[int] | None = None,
    fresh: bool | None = None,
    output: Path | None = None,
) -> Path:
    """Run notebooks at a profile and build a site from them; returns its first page.

    All runs that the notebooks need are done first, in one sweep: they share workers, data and models, and one
    progress bar. The notebooks then find their records. An earlier site stays until they are done.

    With the committed settings (``mini`` without other models or seeds, not fresh) nothing is run: a missing record is
    an error. Meanwhile, unless only some notebooks are wanted, a few records are retrained
    (:mod:`mixlib.book.verify`); the outcome is on the site and in its ``verify.json``.

    Args:
        profile: ``smoke``, ``mini`` or ``full``.
        only: artefact ids or notebooks, all by default.
        engine: see :func:`mixlib.runs.engines.get`.
        model, seeds: instead of the profile's.
        fresh: train from an empty record store (next to the site) instead of resuming from the repository's; by default
            only ``smoke`` does.
        output: folder of the site, by default ``build/reproduce/PROFILE``; executed notebooks go next to it.

    Raises:
        RunFailed: some runs failed; the others are done, and the notebooks were not started.
        NothingToRead: with the committed settings, a record is missing.
        NotebookFailed: some notebooks failed; the site has the others, and those up to where they failed.
        NotMadeAnew: a committed record came out differently; the site is still built.
        ModelUnavailable: there is no such model; nothing was cleared away.
        ValueError: unknown names, no record that can be retrained, missing packages for the site, a site that is not
            sound, or a folder that holds something else or that another ``reproduce`` is writing.
    """
    registry.check_profile(profile)
    names = choose(only)
    site.check()
    if model is not None:  # before what an earlier start left is cleared away
        from mixlib.runs import models  # seconds to import

        models.check(model)
    overrides: dict[str, object] = {} if model is None else {"model": checkpoints.absolute(model)}
    if seeds is not None:
        overrides["seeds"] = list(seeds)
    made_here = [id_ for id_, recipe in RECIPES.items() if recipe.notebook in names]
    specs = [spec for id_ in made_here for spec in registry.artefact_runs(id_, profile, **overrides)]
    folder = output or paths.BUILD / "reproduce" / profile
    folder = Path(os.path.abspath(folder.expanduser()))
    fresh = profile == "smoke" if fresh is None else fresh
    notebooks = folder.with_name(f"{folder.name}-notebooks")
    store = folder.with_name(f"{folder.name}-records") if fresh else None
    parameters = {"profile": profile, "engine": engine} | overrides
    executed = {name: notebooks / f"{name}.ipynb" for name in names}
    as_committed = registry.committed(profile, model, seeds) and not fresh
    with site.alone(folder):
        site.check_folder(notebooks)
        if store:
            site.clear(store)
            tqdm.write(f"Records go to {store}; to resume, use MIXLIB_RESULTS={store} and --resume", sys.stderr)
        executor = engines.get(engine)
        try:
            engines.run_all(dict.fromkeys(specs), executor, Store(store), read_only=as_committed)
        finally:
            executor.close()
        site.clear(notebooks)
        with ThreadPoolExecutor(1) as beside:
            check = beside.submit(verify.verify) if as_committed and not only else None
            failed = execute_all(executed, parameters, store)
            said = site.banner(profile, fresh, names if only else (), check and site.PENDING)
            index = site.build(folder, executed, said)
            try:
                found = check and check.result()
            except BaseException:
                site.replace(folder, site.PENDING, "no record was made anew")
                raise
        if found:
            tqdm.write(str(found), sys.stderr)
            site.replace(folder, site.PENDING, found.sentence)
            text = json.dumps(found.as_json(), indent=1) + "\n"
            write_text(folder / "verify.json", text)
    if failed:
        lines = [f"{len(failed)} of {len(names)} notebooks failed; the site is in {index}", *failed.values()]
        raise NotebookFailed("\n  ".join(lines))
    if found and not found.ok:
        raise NotMadeAnew(f"{found.sentence}; the table is above, the site in {index}")
    return index


def update(only: Sequence[str] = ()) -> list[Path]:
    """Execute notebooks at their own parameters (profile ``mini``) and write them back as they are committed.

    Progress bars are off and papermill's time stamps are removed, so that outputs stay the same from run to run.
    """
    from nbstripout import strip_output  # extra test: only those who commit notebooks need it

    written = []
    for name in tqdm(choose(only), desc="notebooks", unit="notebook"):
        path = paths.NOTEBOOKS / f"{name}.ipynb"
        executed = paths.BUILD / "update-notebooks" / path.name
        with environment(**_variables(progress=False, updating=True), **FORKED):
            _execute(name, executed, {})
        notebook = nbformat.read(executed, as_version=4)
        stamps = ["metadata.papermill", "cell.metadata.papermill", "cell.metadata.execution"]
        strip_output(notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=stamps)
        write(path, lambda temporary, content=notebook: nbformat.write(content, temporary))
        written.append(path)
    return written
