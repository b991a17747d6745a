"""The whole site in a browser: ``make test-site``. ``MIXLIB_SITE`` names a site that is there already."""

import os
import shutil
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from mixlib.book import site
from mixlib.book.about import ABOUT

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOOKS = [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]
INSIDE = """() => {
  const edge = document.querySelector('article').getBoundingClientRect().right + 1;
  const boxes = [...document.querySelectorAll('article .wide, article table, article img, article .math, article pre')]
    .filter(box => !box.matches('.wide table'));
  return [document.documentElement.scrollWidth <= document.documentElement.clientWidth ? [] : ['the page'],
          boxes.filter(box => box.getBoundingClientRect().right > edge).map(box => box.outerHTML.slice(0, 80)),
         ].flat()
}"""
SEEN = """() => [...document.querySelectorAll('article math')].every(m => m.getBoundingClientRect().width > 0)"""
BACKGROUND = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if named := os.environ.get("MIXLIB_SITE"):
        return Path(named).resolve()
    return site.build(tmp_path_factory.mktemp("site") / "html").parent


class Anchors(HTMLParser):
    """What a page links to and loads, and where it can be linked to."""

    def __init__(self):
        super().__init__()
        self.links, self.ids, self.without_words = [], set(), 0

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids |= {attrs[name] for name in ("id", "name") if attrs.get(name)}
        self.links += [attrs[name] for name in ("href", "src") if attrs.get(name) and tag != "link"]
        self.without_words += tag == "img" and not attrs.get("alt")


def pages_of(folder):
    return sorted(path for path in folder.rglob("*.html") if "_static" not in path.parts)


def test_every_link_leads_to_a_page_and_a_place_on_it_and_every_picture_has_words(folder):
    found = {}
    for path in pages_of(folder):
        found[path] = Anchors()
        found[path].feed(path.read_text())
    assert len(found) > 100
    broken, silent = [], [path.name for path, page in found.items() if page.without_words]
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("http", "https", "data", "mailto"), link
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            outside = not target.exists() or folder not in (target, *target.parents)
            if outside or (place and target in found and place not in found[target].ids):
                broken.append(f"{path.relative_to(folder)}: {link}")
    assert broken == []
    assert silent == []


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_is_whole(folder, browser, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, faults = context.new_page(), defaultdict(list)
    page.on("console", lambda message: message.type == "error" and faults[page.url].append(message.text))
    page.on("pageerror", lambda error: faults[page.url].append(str(error)))
    page.on(
        "request",
        lambda request: request.url.startswith((folder.as_uri(), "data:")) or faults[page.url].append(request.url),
    )
    for path in pages_of(folder):
        page.goto(path.as_uri())
        faults[page.url] += page.evaluate(INSIDE) if page.query_selector("article") else []
        faults[page.url] += [] if page.evaluate(SEEN) else ["an equation without width"]
        light = sum(page.evaluate(BACKGROUND)) > 3 * 128
        faults[page.url] += [] if light == (scheme == "light") else [f"not {scheme}"]
    context.close()
    assert {url: found for url, found in faults.items() if found} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(folder, browser, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page, faults = context.new_page(), {}
    for path in pages_of(folder):
        if "_modules" in path.parts and path.name != "trainer.html":  # of the listings, which are all alike, one
            continue
        page.goto(path.as_uri())
        for found in Axe().run(page).response["violations"]:
            if found["impact"] in ("serious", "critical"):
                faults[str(path.relative_to(folder)), found["id"]] = found["nodes"][0]["html"][:120]
    context.close()
    assert faults == {}


def test_equations_are_there_without_a_script(folder, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for key, about in ABOUT.items():
        page.goto((folder / "methods" / f"{key}.html").as_uri())
        assert page.locator("article div.math math").count() == len(about.formula), key
    context.close()


def test_the_playground_is_read_without_a_script_and_moved_by_keys(folder, browser):
    (file,) = folder.rglob("54_playground.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    tables = page.locator("table").count()
    assert tables >= 8
    assert all(page.locator("table").nth(i).is_visible() for i in range(tables))
    assert page.get_by_text("Sliders appear here where scripts can run").count() == 2
    assert page.get_by_role("slider").count() == 0
    context.close()

    page = browser.new_page()
    page.goto(file.as_uri(), wait_until="domcontentloaded")
    for name, end in (("λ", "1.00"), ("T", "8.00")):
        slider = page.get_by_role("slider", name=name)
        before = page.locator("main, body").first.inner_text()
        slider.focus()
        page.keyboard.press("End")
        assert slider.get_attribute("aria-valuetext") == end
        assert page.get_by_text(f"{name} = {end}").is_visible()
        assert page.locator("main, body").first.inner_text() != before
    for name in ("Texts", "Method", "What is mixed"):
        assert page.get_by_role("combobox", name=name).count() == 1
    page.close()
