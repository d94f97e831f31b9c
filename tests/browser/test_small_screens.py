"""What a phone, a keyboard and a dark room need: menus, focus, tables and figures to be read."""

from pathlib import Path

import pytest
import yaml
from browsing import pages

pytestmark = pytest.mark.usefixtures("address")  # skipped where there is no site
CONFIG = yaml.safe_load((Path(__file__).parents[2] / "_config.yml").read_text(encoding="utf-8"))
SEARCHES = [
    (word, chapter)
    for chapter, words in CONFIG["sphinx"]["config"]["search_words"].items()
    for word in words
    if f"{chapter}.html" in pages()
]
TABLES = ["intro.html", "representations.html", "feature_importance.html", "computed.html"]


@pytest.mark.parametrize(
    ("toggle", "dialog", "inside"),
    [
        (".primary-toggle", "#pst-primary-sidebar-modal", "Glossary"),
        (".secondary-toggle", "#pst-secondary-sidebar-modal", "Where to start"),
    ],
)
def test_menus_open_on_a_phone(visit, toggle, dialog, inside):
    v = visit("intro.html", "phone")
    v.page.locator(f"{toggle}:visible").first.tap()
    v.page.wait_for_selector(f"{dialog}[open]")
    v.page.locator(dialog).get_by_role("link", name=inside, exact=True).tap()
    v.page.wait_for_function("location.href.includes('glossary') || location.hash")
    assert not v.complaints


def test_menu_can_be_hidden_on_a_wide_screen(visit):
    v = visit("intro.html")
    menu = v.page.locator("#pst-primary-sidebar")
    assert menu.is_visible()
    v.page.locator(".primary-toggle:visible").first.click()
    menu.wait_for(state="hidden")


def test_every_stop_of_the_tab_key_shows_itself(visit):
    v = visit("notebooks/cka.html", "dark")
    unseen = []
    for _ in range(40):
        v.page.keyboard.press("Tab")
        v.page.wait_for_timeout(30)
        look = v.page.evaluate(
            """() => {
                const e = document.activeElement, s = getComputedStyle(e);
                const ring = parseFloat(s.outlineWidth) && s.outlineStyle !== 'none';
                return [e.outerHTML.slice(0, 80), ring || s.boxShadow !== 'none'];
            }"""
        )
        if not look[1]:
            unseen.append(look[0])
    assert not unseen


@pytest.mark.parametrize("path", TABLES)
def test_tables_of_text_fit_a_phone(visit, path):
    v = visit(path, "phone")
    tables = v.page.locator("table.row-by-row")
    assert tables.count()
    for table in tables.all():
        box = table.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert table.locator(".column-name").first.is_visible()


def test_figures_keep_letters_that_can_be_read_on_a_phone(visit):
    v = visit("notebooks/cka.html", "phone")
    widths = v.page.locator(".cell_output figure img").evaluate_all(
        "all => all.map(i => [i.width, parseFloat(i.style.width)])"
    )
    assert widths
    for shown, full in widths:
        assert shown >= min(full, 500)


@pytest.mark.parametrize(("term", "chapter"), SEARCHES)
def test_search_for_a_method_finds_its_chapter_first(visit, term, chapter):
    v = visit(f"search.html?q={term.replace(' ', '+')}")
    v.page.wait_for_selector("#search-results li a")
    links = v.page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    assert f"/{chapter}.html" in links[0], links[:3]


@pytest.mark.parametrize("name", ["Moments", "cka_matrix"])
def test_search_for_a_name_of_the_package_finds_its_reference_first(visit, name):
    v = visit(f"search.html?q={name}")
    v.page.wait_for_selector("#search-results li a")
    assert "api/" in v.page.locator("#search-results li a").first.get_attribute("href")
