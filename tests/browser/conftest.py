"""Chromium, a server for the built site, and a table of what the pages weigh."""

import functools
import http.server
import threading

import pytest
from browsing import (
    CHROMIUM,
    FLAGS,
    REPORT,
    SITE,
    Visit,
    missing_browser,
    missing_site,
    skip_or_fail,
)


@pytest.fixture(scope="session")
def browser():
    skip_or_fail(missing_browser())
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass


@pytest.fixture(scope="session")
def address():
    skip_or_fail(missing_site())
    handler = functools.partial(QuietHandler, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser, address):
    visits = []

    def start(path, mode="light"):
        visits.append(Visit(browser, address, path, mode))
        return visits[-1]

    yield start
    for one in visits:
        one.context.close()


def pytest_terminal_summary(terminalreporter):
    if not REPORT:
        return
    lines = [
        f"{'page':34}{'view':7}{'kB':>7}{'requests':>10}{'first paint':>13}   axe, not serious"
    ]
    for (path, mode), row in sorted(REPORT.items()):
        lines.append(
            f"{path:34}{mode:7}{row['bytes'] / 1000:7.0f}{row['requests']:10}"
            f"{row['paint_ms']:10.0f} ms   {', '.join(row['axe']) or '-'}"
        )
    terminalreporter.section("pages of the site (without their audio)")
    for line in lines:
        terminalreporter.write_line(line)
