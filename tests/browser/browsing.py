"""Opens pages of the built site in headless Chromium and notes what happens.

The site is _build/html, or the folder that BOOK_SITE names. Without Chromium or Playwright these
tests are skipped and say so; with BROWSER_REQUIRED=1 (continuous integration) they fail instead.
"""

import functools
import gzip
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("BOOK_SITE", ROOT / "_build" / "html"))
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --mute-audio --autoplay-policy=no-user-gesture-required"
).split()
MODES = {  # theme, width, height
    "light": ("light", 1280, 900),
    "dark": ("dark", 1280, 900),
    "phone": ("light", 390, 844),
}
AUDIO = re.compile(rb"data:audio/[^\"']*")
# Notes what every player plays, however short it is: a look from outside may come too late.
RECORD_PLAYED = """
window.played = [];
new MutationObserver((changes) => {
  for (const {target} of changes)
    if (target.dataset.playing) window.played.push(target.dataset.playing);
}).observe(document, {subtree: true, attributes: true, attributeFilter: ['data-playing']});
"""
REPORT = {}  # (page, mode) -> what was measured


def pages():
    """Addresses of all pages of the site; index.html only sends the reader on to the first."""
    found = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html"))
    skipped = ("_static/", "_sources/", "index.html")
    return [p for p in found if not p.startswith(skipped)]


def missing_browser():
    """Why no page can be opened, or an empty string."""
    if not CHROMIUM:
        return "Chromium is not installed (Debian: apt-get install chromium)"
    try:
        import axe_playwright_python  # noqa: F401
        import playwright  # noqa: F401
    except ImportError as error:
        return f"{error.name} is not installed (pip install playwright axe-playwright-python)"
    return ""


def missing_site():
    """Why no page of the site can be opened, or an empty string."""
    built = (SITE / "intro.html").exists()
    return "" if built else "there is no built site: run `make book` first"


def skip_or_fail(reason):
    if reason and os.environ.get("BROWSER_REQUIRED") == "1":
        pytest.fail(f"browser tests cannot run: {reason}")
    if reason:
        pytest.skip(f"browser tests skipped: {reason}")


@functools.cache
def transferred_bytes(file):
    """The size of a file as a web host sends it, text compressed, and without any audio in it."""
    content = AUDIO.sub(b"", file.read_bytes())
    text = file.suffix in (".html", ".css", ".js", ".svg", ".json")
    return len(gzip.compress(content, 6)) if text else len(content)


class Visit:
    """One page, opened once, with everything that happened while it was."""

    def __init__(self, browser, address, path, mode):
        theme, width, height = MODES[mode]
        self.complaints, self.foreign, self.failed, self.files = [], [], [], []
        self.context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            has_touch=mode == "phone",
        )
        self.context.add_init_script("localStorage.setItem('mode', 'auto')")
        self.context.add_init_script(RECORD_PLAYED)
        self.page = self.context.new_page()
        self.page.on("console", self.note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", lambda r: self.failed.append(f"{r.url}: {r.failure}"))
        self.page.on(
            "response", lambda r: r.status >= 400 and self.failed.append(f"{r.status} {r.url}")
        )
        self.page.on("requestfinished", self.count)
        self.address = address
        self.context.route(re.compile("^https?://"), self.guard)
        self.page.goto(address + path, wait_until="load")
        self.page.wait_for_load_state("networkidle")

    def played(self, count):
        """The span (s) that was played as number `count`, once it is."""
        self.page.wait_for_function(f"window.played.length >= {count}")
        span = self.page.evaluate("window.played")[count - 1]
        return [float(t) for t in span.split()]

    def note(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def guard(self, route):
        if route.request.url.startswith(self.address):
            route.continue_()
        else:
            self.foreign.append(route.request.url)
            route.abort()

    def count(self, request):
        self.files.append(SITE / unquote(urlsplit(request.url).path).lstrip("/"))
