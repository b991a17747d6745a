"""The import rule: each storey knows those below it and none above, and there is no circle.

Read from the source of every module: imports inside functions and those for type checkers count like all others.
"""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from mixlib import methods
from mixlib.runs import paths

FOLDER = paths.ROOT / "mixlib"
STOREYS = (
    ("arguments",),
    ("methods",),
    ("data_checks", "trainer"),
    ("runs",),
    ("evidence",),
    ("comparing", "papers"),
    ("book",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(STOREYS) for name in names}
THIN, SHIPPED, PAGE = 3000, 19, 70  # lines of the trainer and the methods that are here; and for each further one


def module_of(path):
    return ".".join(path.relative_to(FOLDER.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in sorted(FOLDER.rglob("*.py"))}


def imports(source, module, modules, is_package=False):
    """The modules that a module imports: ``{name: line}``. A name that is no module counts as its module."""
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".") if is_package else module.split(".")[:-1]
            base = ".".join([*parts[: len(parts) - node.level + 1], node.module or ""]).rstrip(".")
            base = base if node.level else node.module
            names = [f"{base}.{a.name}" if f"{base}.{a.name}" in modules else base for a in node.names]
            if base == "mixlib" and {a.name for a in node.names} == {"__version__"}:
                continue  # no code
        else:
            continue
        found |= {name: node.lineno for name in names if name.split(".")[0] == "mixlib"}
    return found


GRAPH = {name: imports(path.read_text(), name, MODULES, path.stem == "__init__") for name, path in MODULES.items()}


def rank(module):
    """The storey of a module; the package itself, which is what a user imports, stands above all."""
    return len(STOREYS) if module == "mixlib" else RANK[module.split(".")[1]]


def test_every_module_stands_in_a_storey():
    assert {module.split(".")[1] for module in MODULES if module != "mixlib"} <= set(RANK)


def test_what_is_imported_is_there():
    missing = {(module, name) for module, names in GRAPH.items() for name in names if name not in MODULES}
    assert missing == set()


def test_no_storey_knows_one_above():
    upward = [
        f"{MODULES[module].relative_to(FOLDER.parent)}:{line} imports {name}"
        for module, names in GRAPH.items()
        for name, line in names.items()
        if rank(name) > rank(module)
    ]
    assert upward == []


def test_there_is_no_circle():
    try:
        list(TopologicalSorter({module: set(names) - {module} for module, names in GRAPH.items()}).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_methods_and_trainer_are_thin():
    thin = [path for name, path in MODULES.items() if name.startswith("mixlib.methods") or name == "mixlib.trainer"]
    own = [cls for cls in methods.REGISTRY.values() if cls.__module__.startswith("mixlib.methods.")]
    further = max(0, len(own) - SHIPPED)
    lines, allowed = sum(len(path.read_text().splitlines()) for path in thin), THIN + PAGE * further
    assert lines <= allowed, f"{lines} lines, {allowed} are allowed: a method is about a page, {PAGE} lines"


def test_imports_are_seen_wherever_they_are():
    modules = {"mixlib", "mixlib.runs", "mixlib.runs.store", "mixlib.papers"}
    source = "def f():\n    from mixlib.runs import store\n    from . import store\n    import mixlib.papers\n"
    assert imports(source, "mixlib.runs.training", modules) == {"mixlib.runs.store": 3, "mixlib.papers": 4}
    assert imports("from mixlib import __version__", "mixlib.runs.machine", modules) == {}
    assert imports("from mixlib.runs.store import Store", "mixlib.book", modules) == {"mixlib.runs.store": 1}
