"""Reads the HTML of players as a browser would."""

import base64
import io
import re
from html.parser import HTMLParser

import soundfile

VOID = {"img", "br", "input", "link", "meta", "path"}


class Page(HTMLParser):
    """Every element as (tag, attributes, text inside it), as a browser would read them."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        element = [tag, dict(attrs), ""]
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open[-1][0] == tag, f"{tag} closes {self.open[-1][0]}"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element[2] += data

    def all(self, **attributes):
        return [e for e in self.elements if all(e[1].get(k) == v for k, v in attributes.items())]


def sound_of(player):
    encoded = re.search(r"data:audio/mpeg;base64,([^\"]+)", player.html)[1]
    return encoded, soundfile.read(io.BytesIO(base64.b64decode(encoded)))


EVIL = [
    "</script><img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</style><b>&amp;&lt;",
    "<!-- ",
    "]]>\x00\u202e$x$",
]
