"""A Sphinx extension: equations as MathML, which needs no script, tables that scroll in their column, commands."""

from __future__ import annotations

import importlib
import re
from typing import Any, ClassVar

import click
import latex2mathml.converter
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

_LENGTH = re.compile(r"\|(\w+)\|")
_CHAPTER = re.compile(r'href="(\d\d_\w+)\.ipynb(#[^"]*)?"')
_PICTURE = re.compile(r'(<figure\b[^>]*>\s*)(<img\b[^>]*\bsrc="([^"]+)"[^>]*>)')
_CLAIM = re.compile(r'<b class="claim">((\w+)-\d+)</b>')
_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL)
_INTERVAL = re.compile(r"(\[[+−-]?[\d.]+,) (?=[+−-]?[\d.]+\])")
_STAR = re.compile(r"(?<=\]) \*(?=<)")
_SPREAD = re.compile(r"(?<=\d) (±|→) (?=\d)")


def mathml(tex: str, display: str = "inline") -> str:
    """An equation as MathML. ``ValueError`` names the equation if it cannot be read."""
    try:
        return latex2mathml.converter.convert(tex, display=display)
    except Exception as error:  # the converter raises many kinds of error
        raise ValueError(f"cannot read the equation {tex!r}: {type(error).__name__} {error}") from error


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math" tabindex="0">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def scrolling(html: str) -> str:
    """Put each table of a piece of HTML in a box of its own that scrolls, by keyboard too, if the page is too narrow.

    Intervals and spreads in them stay on one line.
    """

    def boxed(found: re.Match) -> str:
        table = _SPREAD.sub("\u00a0\\1\u00a0", _INTERVAL.sub("\\1\u00a0", _STAR.sub("\u00a0*", found[0])))
        return f'<div class="wide" tabindex="0" role="group" aria-label="table">{table}</div>'

    return _TABLE.sub(boxed, html)


def reachable(html: str) -> str:
    """Make blocks of code reachable by keyboard, so that it can scroll them."""
    return html.replace("<pre>", '<pre tabindex="0">')


def enlarging(html: str) -> str:
    """Let each figure lead to its picture at full size."""
    return _PICTURE.sub(r'\1<a href="\3">\2</a>', html)


def to_pages(html: str) -> str:
    """Turn links to other notebooks in a notebook's own HTML into links to their pages, and claims into links to
    theirs."""
    html = _CLAIM.sub(_claim_link, html)
    return _CHAPTER.sub(r'href="\1.html\2"', html)


def _claim_link(found: re.Match) -> str:
    anchor = found[1].replace("_", "-")  # as docutils makes ids
    return f'<a class="claim" href="papers/{found[2]}.html#claim-{anchor}">{found[1]}</a>'


def finish(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Fix the page that the theme is about to write; runs after the theme, which makes the navigation."""
    if "body" in context:
        context["body"] = to_pages(enlarging(scrolling(reachable(context["body"]))))
    headed = 'role="heading" aria-level="2"'
    context["furo_navigation_tree"] = context["furo_navigation_tree"].replace('role="heading"', headed)


def escape_bars(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """``|a|`` in a docstring is a length, not a substitution."""
    lines[:] = [_LENGTH.sub(r"\\|\1\\|", line) for line in lines]


def skip_fields(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields of named tuples have no words of their own."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def commands(name: str) -> dict[str, str]:
    """The help of each command of a click group ``module:group``, by name."""
    module, _, group = name.partition(":")
    group, found = getattr(importlib.import_module(module), group), {}
    settings = {"help_option_names": group.context_settings.get("help_option_names")}  # a command remembers the first
    for command_name, command in sorted(group.commands.items()):
        line = f"python -m {module.removesuffix('.__main__')} {command_name}"
        with click.Context(command, info_name=line, terminal_width=84, **settings) as context:
            found[command_name] = command.get_help(context)
    return found


def _first_sentence(text: str) -> str:
    said = text.partition("\n\n")[2].partition("\n\n")[0]
    return re.split(r"(?<=[.:]) (?=[A-Z])", " ".join(said.split()))[0].rstrip(":.")


class Commands(SphinxDirective):
    """``{commands} module:group``: a section for each command."""

    required_arguments: ClassVar[int] = 1

    def run(self) -> list[nodes.Node]:
        found, sections = commands(self.arguments[0]), []
        sections.append(
            nodes.bullet_list(
                "",
                *[
                    nodes.list_item(
                        "", nodes.paragraph("", "", nodes.literal(name, name), nodes.Text(f": {_first_sentence(text)}"))
                    )
                    for name, text in found.items()
                ],
            )
        )
        for name, text in found.items():
            section = nodes.section("", nodes.title(name, name), nodes.literal_block(text, text, language="text"))
            section["names"].append(name)
            self.state.document.note_implicit_target(section)
            sections.append(section)
        return sections


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("html-page-context", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
