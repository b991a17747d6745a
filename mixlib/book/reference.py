"""The pages of the API, from the docstrings of all modules."""

from __future__ import annotations

import ast
import pkgutil
from functools import lru_cache

from mixlib import methods
from mixlib.book.markdown import bullets, from_rst, plain_code
from mixlib.runs import paths


@lru_cache(maxsize=1)
def modules() -> list[str]:
    """Every module of the library, parents before children, without the command line."""
    found = (module.name for module in pkgutil.walk_packages([str(paths.ROOT / "mixlib")], "mixlib."))
    return ["mixlib", *sorted(name for name in found if not name.endswith("__main__"))]


def for_users() -> list[str]:
    """The modules that users import: the trainer, comparing, and every module that defines a method."""
    defining = {cls.__module__ for cls in methods.REGISTRY.values()} & set(modules())
    first = ["mixlib", "mixlib.trainer", "mixlib.comparing.compare", "mixlib.methods", "mixlib.methods.base"]
    return [*first, *sorted(defining - set(first))]


def index() -> str:
    """Every module with the first line of its docstring, those that users import first. No table of contents: it would
    appear on every page."""
    users = for_users()
    groups = {"What users import": users, "All others": [name for name in modules() if name not in users]}
    return "# API\n\nEvery module with its docstrings.\n" + "".join(
        f"\n## {title}\n\n"
        + bullets(f"[{module}]({module}.md): {plain_code(from_rst(_first_line(module)))}" for module in found)
        for title, found in groups.items()
    )


def _first_line(module: str) -> str:
    path = paths.ROOT.joinpath(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]


def page(module: str) -> str:
    return (
        f"---\norphan: true\n---\n\n# {module}\n\n[All modules](index.md)\n\n"
        f"```{{eval-rst}}\n.. automodule:: {module}\n   :members:\n   :show-inheritance:\n```\n"
    )
