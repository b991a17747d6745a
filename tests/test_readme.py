import os
import re
import shlex
import shutil
import subprocess
import sys

import nbformat
import pytest

from mixlib.__main__ import main
from mixlib.book import generated
from mixlib.book.findings import Findings
from mixlib.evidence import plan
from mixlib.evidence.cells import Cell
from mixlib.evidence.verdicts import Records
from mixlib.runs import corpora, engines, paths
from mixlib.runs.store import Store

README = (paths.ROOT / "README.md").read_text()
HOW_TO = "\n".join(path.read_text() for path in sorted((paths.NOTEBOOKS / "howto").glob("*.md")))


def lines(*words):
    """The command lines of README and of the how-tos that begin with one of these words, without comments; in code
    blocks and in text."""
    joined = f"{README}\n{HOW_TO}".replace("\\\n", " ")
    found = re.findall(rf"(?:^|`|\"|entrypoint: | && )((?:{'|'.join(words)}) [^`\n]*)", joined, re.MULTILINE)
    return list(dict.fromkeys(re.split(r'  +| #| && |"\]', line)[0].strip() for line in found))


COMMANDS = [line for line in lines("python -m mixlib") if not re.search(r"\[|\.\.\.| ID| FILE| A B", line)]


def test_what_the_readme_and_pages_say_was_found_is_what_the_records_give(monkeypatch):
    monkeypatch.delenv("MIXLIB_RESULTS", raising=False)
    for page, parts in generated.parts(Findings(Records())).items():
        text = (paths.ROOT / page).read_text(encoding="utf-8")
        assert generated.filled(text, parts) == text, page


@pytest.mark.parametrize("page", ["README.md", "notebooks/index.md", "notebooks/50_claims.ipynb"])
def test_the_training_rows_are_those_of_the_cells_that_are_read(page):
    rows = [
        cell.recipe.get("train_size") or cell.recipe["train_per_class"] * corpora.get(cell.dataset).num_labels
        for name, cell in plan.cells().items()
        if isinstance(cell, Cell) and plan.decided().seeds.get(name) and cell not in plan.registered().sensitivity
    ]
    said = " ".join((paths.ROOT / page).read_text().split())
    assert f"{min(rows)} to {max(rows):,} training" in said


def test_parts_of_a_page_are_filled_between_their_marks_and_a_page_without_them_is_refused():
    text = "a\n" + "\nold\n".join(generated.marks("x")) + "\nb\n"
    assert generated.filled(text, {"x": "new\n"}) == text.replace("old", "new")
    assert generated.filled(text, {}) == text
    with pytest.raises(ValueError, match="this page needs the lines"):
        generated.filled(text, {"y": "new"})


def test_the_readme_is_short():
    by_hand = re.sub(r"<!-- (\w+), written by .*?<!-- end of the \1 -->", "", README, flags=re.DOTALL)
    assert len(by_hand.splitlines()) < 80  # a further paper or method adds rows to the other parts


def test_every_file_and_method_the_readme_names_exists():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (paths.ROOT / link).exists(), link
    for path in paths.NOTEBOOKS.rglob("*.md"):
        for link in re.findall(r"\]\((\.\./[^)#:]+)\)", path.read_text()):
            assert (path.parent / link).exists(), f"{path.name}: {link}"


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_line_is_understood(line):
    """With its options and their values, and without being run; what the commands do, other tests say."""
    name, *arguments = shlex.split(line.replace("$SLURM_ARRAY_TASK_ID", "3").replace("$JOB_COMPLETION_INDEX", "3"))[3:]
    context = main.commands[name].make_context(name, arguments, **main.context_settings)  # or it forgets -h
    given = context.params
    if "engine" in given:
        options = {option: given[option] for option in engines.Ray.options() if given.get(option) is not None}
        assert engines.get(engines.describe(given["engine"], **options)).name in ("local", "ray")


def test_enough_command_lines_were_found():
    assert len(COMMANDS) > 10
    assert len(lines("make")) > 5


@pytest.mark.parametrize("line", lines("make"))
def test_every_make_line_gives_commands_that_are_understood(line):
    """``make -n`` says what it would run."""
    words = shlex.split(line)
    out = subprocess.run([words[0], "-n", *words[1:]], cwd=paths.ROOT, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    said = out.stdout.replace("\\\n", " ").splitlines()
    for command in (shlex.split(part.split("-m mixlib", 1)[1]) for part in said if "-m mixlib" in part):
        given = main.commands[command[0]].make_context(command[0], command[1:], **main.context_settings).params
        if "engine" in given:
            engines.get(given["engine"])
        wanted = dict(word.split("=", 1) for word in words if "=" in word)
        assert given.get("profile", "mini") == wanted.get("PROFILE", given.get("profile", "mini"))
        if "ONLY" in wanted:
            assert given["only"] == ([wanted["ONLY"]],)


def in_another_folder(line, folder, **environment):
    """Run a line as it stands there, with this Python, from a folder that is not the checkout."""
    program, *arguments = shlex.split(line.replace("notebooks/", f"{paths.NOTEBOOKS}/"))
    path = os.pathsep.join([str(paths.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, "-m", program, *arguments], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path, **environment}, timeout=900)  # fmt: skip


def test_a_batch_job_runs_a_notebook_by_papermill_from_another_folder(tmp_path):
    (line,) = lines("papermill")
    out = in_another_folder(line, tmp_path, MIXLIB_RESULTS="records")
    assert out.returncode == 0, out.stderr
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert not [o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert {path.name for path in tmp_path.iterdir()} == {"out.ipynb", "records"}
    found, left_out = Store(tmp_path / "records").scan()
    assert len(found) == 16
    assert {record.spec.seed for record in found} == {0, 1}
    assert left_out == {}


def test_a_committed_notebook_is_validated_from_another_folder(tmp_path):
    (line,) = [line for line in lines("pytest") if line.endswith(".ipynb")]
    out = in_another_folder(f"{line} -p no:cacheprovider", tmp_path)
    assert out.returncode == 0, out.stdout
    assert re.search(r"\d+ passed", out.stdout)


def test_make_uses_an_active_conda_environment_that_has_mixlib_and_no_other(tmp_path):
    def said(**environment):
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CONDA")}
        out = subprocess.run(["make", "-n", "reproduce"], cwd=paths.ROOT, capture_output=True, text=True,
                             env=kept | environment)  # fmt: skip
        assert out.returncode == 0, out.stderr
        return out.stdout

    for name, code in (("with", 0), ("without", 1)):
        python = tmp_path / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\nexit {code}\n")
        python.chmod(0o755)
    assert f'"{tmp_path}/with/bin/python" -m mixlib' in said(CONDA_PREFIX=str(tmp_path / "with"))
    assert "venv .venv" not in said(CONDA_PREFIX=str(tmp_path / "with"))
    for environment in ({}, {"CONDA_PREFIX": str(tmp_path / "without")}):
        assert '".venv/bin/python" -m mixlib' in said(**environment)


@pytest.mark.parametrize(("given", "meant"), [("", ""), ("/abs x", "/abs x"), ("my data", "{root}/my data")])
def test_make_names_folders_so_that_kernels_find_them(tmp_path, given, meant):
    makefile = tmp_path / "Makefile"
    shutil.copy(paths.ROOT / "Makefile", makefile)
    with makefile.open("a") as file:
        file.write('\nshow:\n\t@echo "[$$MIXLIB_DATA]"\n')
    for environment, said in (({"MIXLIB_DATA": given}, []), ({}, [f"MIXLIB_DATA={given}"])):
        out = subprocess.run(["make", "--no-print-directory", "show", *said], cwd=tmp_path, capture_output=True,
                             text=True, env=os.environ | environment)  # fmt: skip
        assert out.stdout.strip() == f"[{meant.format(root=tmp_path)}]"
