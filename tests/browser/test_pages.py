"""Every page in light, dark and at phone width: whole, local, light, quick, accessible."""

import pytest
from browsing import MODES, REPORT, pages, transferred_bytes

MAXIMUM_BYTES = 1_500_000
MAXIMUM_PAINT_MS = 4000  # on two busy cores; a few hundred on an idle machine
AXE = {"resultTypes": ["violations"], "preload": False}  # preloading asks for wrong addresses


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("path", pages() or ["intro.html"])
def test_page(visit, path, mode):
    from axe_playwright_python.sync_playwright import Axe

    v = visit(path, mode)
    paint_ms = v.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? -1"
    )
    weight = sum(transferred_bytes(file) for file in v.files if file.is_file())
    findings = Axe().run(v.page, options=AXE).response["violations"]
    serious = [
        f"{f['id']}: {f['help']}: {f['nodes'][0]['html'][:160]} ({len(f['nodes'])} places)"
        for f in findings
        if f["impact"] in ("serious", "critical")
    ]
    REPORT[path, mode] = {
        "bytes": weight,
        "requests": len(v.files),
        "axe": [f["id"] for f in findings],
        "paint_ms": paint_ms,
    }
    assert not v.foreign, "the page asks another host"
    assert not v.failed, "a request failed"
    assert not v.complaints, "the console complains"
    assert weight <= MAXIMUM_BYTES
    assert 0 < paint_ms < MAXIMUM_PAINT_MS
    assert not serious

    theme = v.page.evaluate("document.documentElement.dataset.theme")
    assert theme == MODES[mode][0]
    too_wide = v.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert too_wide <= 1, "the page scrolls sideways"

    formulas = v.page.locator("span.math, div.math")
    assert formulas.count() == v.page.locator(".math math").count()

    unlabelled = v.page.evaluate(
        "[...document.images].filter(i => !i.hasAttribute('alt')).map(i => i.src)"
    )
    assert not unlabelled
    broken = v.page.evaluate(
        "[...document.images].filter(i => i.complete && !i.naturalWidth && i.checkVisibility())"
        ".map(i => i.src)"
    )
    assert not broken
