"""The whole book as one folder of HTML that opens without a network: notebooks, written pages and generated pages.

Hand-written pages are in ``notebooks/``. This copies them and the notebooks to a scratch folder, adds the generated
pages (:mod:`mixlib.book.pages`), and lets Sphinx build the site; warnings are errors.
"""

from __future__ import annotations

import base64
import html
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import nbformat
from nbformat import NotebookNode

from mixlib.book import drawing, markdown, pages, reference
from mixlib.book.about import every
from mixlib.book.chapters import Chapter
from mixlib.evidence import ledger, overview, plots, published
from mixlib.evidence.verdicts import Records
from mixlib.runs import machine, paths
from mixlib.runs.garbage import quick_garbage_collection
from mixlib.runs.store import holder, release, take

PENDING = "records are being made anew"  # in a banner until it is known how that ended
MARKER, LOCK = ".mixlib-site", ".lock"
FOLDED = re.compile(  # code that readers of results need not see: settings, imports, runs, tables and figures
    r"^(profile: |import |from )|\.progress\(|\brun_all\(|\btables\.show\(|\bplots\.save\(|\bledger\.", re.MULTILINE
)
CAPTION = "**Figure.** "
EXTRA = "the site needs the extra 'site': pip install -e '.[site]' -c requirements.lock"


def clear(folder: Path) -> None:
    """Empty the folder of an earlier site; ``ValueError`` if it holds anything that is not one."""
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark(folder)  # first: whatever is left of it when this is stopped is still recognised as a site
    for path in folder.iterdir():
        if path.name not in (MARKER, LOCK):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def mark(folder: Path) -> None:
    """Let :func:`clear` empty this folder."""
    (folder / MARKER).write_text("made by python -m mixlib, which may empty this folder\n")


def check_folder(folder: Path) -> None:
    """Raise ``ValueError`` if a folder holds anything that is not an earlier site."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: choose another --output")
    if folder.exists() and not (folder / MARKER).exists() and {path.name for path in folder.iterdir()} - {LOCK}:
        raise ValueError(f"{folder} is not empty and not an earlier site: choose another --output, or empty it")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make sure that no other process writes this site in the meantime; ``ValueError`` if one does, or if it is not a
    site."""
    check_folder(folder)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    lock = take(folder / LOCK, "choose another --output")
    if lock is None:
        raise ValueError(
            f"another process is writing {folder}, {holder(folder / LOCK)}: wait for it, or choose another --output"
        )
    try:
        mark(folder)
        yield
    finally:
        release(lock)
        if made and {path.name for path in folder.iterdir()} == {MARKER}:  # stopped before anything was written
            shutil.rmtree(folder)


def check() -> None:
    """Raise ``ValueError`` if what makes the site is not installed: before a sweep, rather than after it."""
    try:
        import furo  # noqa: F401
        import latex2mathml  # noqa: F401
        import myst_nb  # noqa: F401
        import sphinx_copybutton  # noqa: F401
        import sphinx_design  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{error.name} is not installed; {EXTRA}") from error


def repository() -> str | None:
    """``owner/name`` on GitHub: ``GITHUB_REPOSITORY``, as its workflows set it, else the remote ``origin``."""
    if named := os.environ.get("GITHUB_REPOSITORY"):
        return named
    command = ["git", "-C", str(paths.ROOT), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?$", url)
    return found[1] if found else None


def version() -> str:
    """The version of the code, with the commit if git knows it."""
    commit = machine.git_state().get("commit", "")
    return machine.code_version() + (f", commit {commit[:10]}" if commit else "")


def banner(profile: str, fresh: bool, names: Sequence[str] = (), made_anew: str | None = None) -> str:
    """What is shown at the top of every page of a site that ``reproduce`` made.

    Args:
        profile: of the notebooks that were run.
        fresh: whether their runs were trained just now.
        names: the notebooks that were run, if not all were.
        made_anew: what a live check of committed records found, such as ``3 of 3 records made anew on this machine``,
            or :data:`PENDING`.
    """
    which = f"Chapters {', '.join(name[:2] for name in names)}" if names else "Chapters"
    kind = "SYNTHETIC, not a result" if profile == "smoke" else "measured"
    how = "trained just now" if fresh else "from the records of this repository"
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    parts = [f"{which}: profile {profile}, {kind}, {how}", "everything else: as committed", made_anew,
             f"code {version()}", when]  # fmt: skip
    return " · ".join(filter(None, parts))


def replace(folder: Path, before: str, after: str) -> None:
    """Replace words in the banner of every page of a site."""
    for page in folder.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        start, mark, rest = text.partition('<aside class="announcement-content">')
        banner, end, rest = rest.partition("</aside>")
        page.write_text("".join([start, mark, banner.replace(before, html.escape(after)), end, rest]), encoding="utf-8")


def build(output: Path, executed: Mapping[str, Path] | None = None, announcement: str | None = None) -> Path:
    """Make the site; returns its first page.

    Args:
        output: folder; what an earlier site left there is deleted.
        executed: by chapter, the notebook that was run in place of the committed one.
        announcement: shown at the top of every page, see :func:`banner`.

    Raises:
        ValueError: the extra is not installed, the folder is not a site, or Sphinx warned of anything (which it
            printed).
    """
    check()
    from sphinx.cmd.build import build_main

    output = output.resolve()
    clear(output)
    with TemporaryDirectory(prefix="mixlib-book-") as scratch:
        source, doctrees = Path(scratch) / "book", Path(scratch) / "doctrees"
        with quick_garbage_collection():
            assemble(source, executed or {})
        # in one process: with two, passing pages between them takes longer than the second saves
        arguments = ["-b", "html", "--fail-on-warning", "--keep-going", "--quiet"]
        arguments += ["--conf-dir", str(paths.NOTEBOOKS), "--doctree-dir", str(doctrees)]
        if announcement:
            arguments += ["--define", f"html_theme_options.announcement={html.escape(announcement)}"]
        code = build_main([*arguments, str(source), str(output)])
    if code:
        raise ValueError(f"the site in {output} has faults: Sphinx ended with code {code}; its warnings are above")
    return output / "index.html"


def assemble(folder: Path, executed: Mapping[str, Path]) -> None:
    """Write all that Sphinx reads into a new folder: chapters, written pages, and generated ones."""
    shutil.copytree(paths.NOTEBOOKS, folder, ignore=shutil.ignore_patterns("*.ipynb", ".*", "__pycache__", "conf.py"))
    notebooks = {
        path.stem: nbformat.read(executed.get(path.stem, path), as_version=4)
        for path in sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    }
    book = pages.Book([Chapter.of(*item) for item in notebooks.items()], Records(), repository())
    for chapter, notebook in zip(book.chapters, notebooks.values(), strict=True):
        if chapter.name in executed:
            note = "Run just now; see the banner."
        else:
            committed = "As committed, at profile mini. " if executed else ""
            note = f"{book.summary(chapter.name)}{committed}{book.made_of(chapter.name)}"
        prepare(notebook, chapter, note, book.repository)
        nbformat.write(notebook, folder / f"{chapter.name}.ipynb")
    draw(book, folder / "fragments")
    for name, text in written(book).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for page in [path for path in folder.rglob("*.md") if "fragments" not in path.parts]:
        page.write_text(relink(page.read_text(encoding="utf-8"), book.repository), encoding="utf-8")


def prepare(notebook: NotebookNode, chapter: Chapter, note: str, repository: str | None) -> None:
    """A notebook as the site shows it: its number, links, captions, words for its pictures, where else it can be
    opened, and code that says nothing about results folded."""
    from nbconvert.preprocessors import CoalesceStreamsPreprocessor  # of the extra

    figures, number = iter(chapter.figures), 0
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            cell.source = relink(cell.source, repository)
        if cell.cell_type != "code":
            continue
        if FOLDED.search(cell.source) and "MixupTrainer(" not in cell.source:
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
        CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)  # of a progress bar only its last state
        shown = [next(figures) for output in cell.outputs if "image/png" in output.get("data", {})]
        if shown:
            numbers = [f"{chapter.number}.{number + n}" for n in range(1, len(shown) + 1)]
            number += len(shown)
            said = caption_below(notebook.cells[place + 1 : place + 2]) or markdown.plain(shown[0].words)
            caption = f"**Figure{'s' if shown[1:] else ''} {' and '.join(numbers)}.** {said}"
            alt = markdown.words_alone(shown[0].title)
            cell.metadata["mystnb"] = {"image": {"alt": alt}, "figure": {"caption": caption}}
    places = [f"{{download}}`notebook <{chapter.name}.ipynb>`"]
    if repository:
        places += [f"[{site}]({url})" for site, url in elsewhere(repository, f"notebooks/{chapter.name}.ipynb").items()]
    lines = [f"{note} " if note else "", "Open it yourself: ", " · ".join(places)]
    notebook.cells[0].source = re.sub(r"^# ", f"# {chapter.number} · ", notebook.cells[0].source)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("".join(lines), id="where-else"))


def caption_below(cells: Sequence[NotebookNode]) -> str | None:
    """The notebook's own words for a figure, taken out of the cell below it: ``**Figure.** words``."""
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith(CAPTION):
        return None
    words, _, rest = cells[0].source.removeprefix(CAPTION).partition("\n\n")
    cells[0].source = rest
    return " ".join(words.split())


def elsewhere(repository: str, path: str) -> dict[str, str]:
    """Where a notebook of the repository can be opened."""
    return {
        "Binder": f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath={path}",
        "Colab": f"https://colab.research.google.com/github/{repository}/blob/main/{path}",
        "GitHub": f"https://github.com/{repository}/blob/main/{path}",
    }


_OUT = re.compile(r"\]\((?:\.\./)+([\w./-]+)(#[\w-]+)?\)")


def relink(text: str, repository: str | None) -> str:
    """Turn links that leave the book for files of the repository into links to what the site has of them.

    Modules become their API pages, the changelog its page; anything else is a link to GitHub, or plain words if the
    repository is not there.
    """

    def turned(match: re.Match) -> str:
        path, anchor = match[1].rstrip("/"), match[2] or ""
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if module in reference.modules():
            return f"](/api/{module}.md)"
        if path == "CHANGELOG.md":
            return "](/changelog.md)"
        if (paths.NOTEBOOKS / path).exists():  # from a page in a folder of the book to one above
            return match[0]
        return f"](https://github.com/{repository}/blob/main/{path}{anchor})" if repository else f"]({NOWHERE})"

    text = _OUT.sub(turned, text)
    return re.sub(rf"\[([^\]]+)\]\({re.escape(NOWHERE)}\)", r"\1", text)


NOWHERE = "nowhere:"


def draw(book: pages.Book, folder: Path) -> None:
    """The pictures of generated pages, and those of all chapters for the gallery."""
    folder.mkdir(exist_ok=True)
    plots.theme()
    for name, figure in {
        "forest": overview.forest(book.found.verdicts, ledger.papers()),
        "where": drawing.where_it_mixes(),
    }.items():
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, bbox_inches="tight")
        plt.close(figure)
    for chapter in book.chapters:
        for number, figure in enumerate(chapter.figures):
            (folder / f"{chapter.name}-{number}.png").write_bytes(base64.b64decode(figure.image))


def written(book: pages.Book) -> dict[str, str]:
    """The generated pages by file name."""
    errata = pages.inconsistencies()
    return {
        "fragments/forest.md": book.forest(),
        "fragments/findings.md": markdown.bullets(
            book.linked(markdown.folded(line)) for line in book.found.sentences()[1:]
        ),
        "fragments/which.md": book.which(),
        "fragments/where.md": book.where(),
        "fragments/chapters.md": book.contents(),
        "gallery.md": book.gallery(),
        "claims.md": book.ledger(),
        "changelog.md": (paths.ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "methods/index.md": book.methods_index(),
        **{f"methods/{key}.md": book.method(key) for key in every()},
        "papers/index.md": book.papers_index(),
        **{f"papers/{key}.md": book.paper(key, errata) for key in published.papers()},
        "api/index.md": reference.index(),
        **{f"api/{module}.md": reference.page(module) for module in reference.modules()},
    }
