"""What a reader does: search, play a sound, follow the menu, download, open elsewhere."""

import json
import re
from urllib.parse import urljoin

import pytest
from browsing import SITE, pages

pytestmark = pytest.mark.usefixtures("address")  # skipped where there is no site
CHAPTERS = [p for p in pages() if p.startswith("notebooks/")]


def test_first_page_is_reached_from_the_root(visit):
    v = visit("index.html")
    v.page.wait_for_url("**/intro.html")
    assert (
        "Interpretability Techniques for Speech Models" in v.page.locator("h1").first.inner_text()
    )


@pytest.mark.parametrize(("term", "page"), [("selectivity", "glossary"), ("Rotterdam", "intro")])
def test_search_finds_a_term(visit, term, page):
    v = visit(f"search.html?q={term}")
    v.page.wait_for_selector("#search-results li a")
    links = v.page.locator("#search-results li a").evaluate_all("all => all.map(a => a.href)")
    assert any(f"/{page}.html" in link for link in links)
    assert not v.complaints and not v.foreign and not v.failed


def test_search_field_opens_from_every_page(visit):
    v = visit("glossary.html")
    v.page.keyboard.press("Control+k")
    v.page.keyboard.type("homophones")
    v.page.keyboard.press("Enter")
    v.page.wait_for_url("**/search.html?q=homophones*")
    v.page.wait_for_selector("#search-results li a")


def test_theme_can_be_switched(visit):
    v = visit("intro.html", "light")
    ink = "getComputedStyle(document.querySelector('.drawing text')).fill"
    before = v.page.evaluate(ink)
    v.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert v.page.evaluate(ink) != before, "drawings follow the theme"


def test_every_link_inside_the_site_leads_somewhere():
    dead = []
    for path in pages():
        text = (SITE / path).read_text(encoding="utf-8")
        for link in re.findall(r'<a [^>]*?href="([^"#?]+)', text):
            if re.match(r"\w+:", link):
                continue
            target = urljoin(f"/{path}", link).lstrip("/")
            if not (SITE / target).is_file():
                dead.append(f"{path}: {link}")
    assert not dead


def test_every_anchor_exists():
    ids = {}
    for path in pages():
        text = (SITE / path).read_text(encoding="utf-8")
        ids[path] = set(re.findall(r'\bid="([^"]+)"', text))
    missing = []
    for path in pages():
        text = (SITE / path).read_text(encoding="utf-8")
        for page, anchor in re.findall(r'<a [^>]*?href="([^":?#]*)#([^"]+)"', text):
            target = urljoin(f"/{path}", page).lstrip("/")
            if target in ids and anchor not in ids[target]:
                missing.append(f"{path}: {page}#{anchor}")
    assert not missing


def test_meta_data_of_every_page():
    for path in pages():
        if path in ("search.html", "genindex.html"):
            continue
        text = (SITE / path).read_text(encoding="utf-8")
        head = text[: text.index("</head>")]
        canonical = re.search(r'<link rel="canonical" href="([^"]+)"', head)[1]
        assert canonical.endswith("/" + path)
        root = canonical[: -len(path)]
        meta = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]*)"', head))
        assert meta["og:url"] == canonical
        picture = meta["og:image"].removeprefix(root)
        assert (SITE / picture).is_file()
        assert ("answer" in picture) == (path in CHAPTERS), "a chapter shows its own answer"
        assert len(meta["description"]) > 40, path
        assert meta["og:description"] == meta["description"]
        assert len(re.search(r"<title>(.*?)</title>", head, re.DOTALL)[1]) > 10


@pytest.mark.parametrize("path", CHAPTERS)
def test_chapter_opens_in_colab_and_binder_and_downloads(visit, path):
    v = visit(path)
    name = path.removesuffix(".html")
    links = v.page.locator("a").evaluate_all("all => all.map(a => a.href)")
    repository = "interpretingdl/speech-interpretability-tutorial"
    colab = f"https://colab.research.google.com/github/{repository}/blob/readers/{name}.ipynb"
    assert colab in links
    assert any(f"mybinder.org/v2/gh/{repository}/readers?" in link for link in links)
    notebook = json.loads((SITE / "_sources" / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert any(link.endswith(f"_sources/{name}.ipynb") for link in links)
    assert any(link.endswith(f"_sources/{name}.py") for link in links)
    script = (SITE / "_sources" / f"{name}.py").read_text(encoding="utf-8")
    compile(script, name, "exec")
    code = sum(cell["cell_type"] == "code" for cell in notebook["cells"])
    assert "{glue:" not in script and "{cite" not in script
    assert len(re.findall(r"^# %%$", script, re.MULTILINE)) == code


@pytest.mark.parametrize("path", CHAPTERS)
@pytest.mark.parametrize("mode", ["light", "phone"])
def test_players_play(visit, path, mode):
    v = visit(path, mode)
    player = v.page.locator(".si-player").first
    if not player.count():
        pytest.skip("no player on this page")
    v.page.wait_for_function(
        "[...document.querySelectorAll('.si-player')].every(p => 'ready' in p.dataset)"
    )
    player.scroll_into_view_if_needed()
    player.locator(".si-play").click()
    assert v.played(1)[0] == 0
    player.locator(".si-play").click()
    v.page.wait_for_selector(".si-player[data-playing]", state="detached")

    cells = player.locator("[role=gridcell][data-t]")
    assert cells.count()
    cell = cells.nth(min(1, cells.count() - 1))  # a syllable said alone is one cell
    span = [float(t) for t in cell.get_attribute("data-t").split()]
    cell.scroll_into_view_if_needed()
    count = v.page.evaluate("window.played.length")
    cell.click()
    assert v.played(count + 1) == pytest.approx(span, abs=1e-3)
    assert not v.complaints
