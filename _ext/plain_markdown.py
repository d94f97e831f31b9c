"""The Markdown of a chapter as every notebook program shows it: no role, no directive.

What a role stands for (a number, a citation, an address) is asked of a `Chapter`.
"""

import re
from html import escape
from typing import Protocol

INLINE = re.compile(
    r"\{(?P<role>[a-z][\w:-]*)\}(?P<ticks>`+)(?P<content>.+?)(?P=ticks)(?!`)"
    r"|(?P<code>`+)(?!`).+?(?<!`)(?P=code)(?!`)"
    r"|\$\$.+?\$\$|\$[^$\n]+\$"  # what looks like a link in a formula or in code is none
    r"|(?<!!)\[(?P<words>[^\[\]]*)\]\((?P<target>[^()\s]+)\)",
    re.DOTALL,
)
OPENING = re.compile(r"^(?P<fence>:{3,}|`{3,})\{(?P<name>[\w:-]+)\} *(?P<argument>.*)$")
CODE_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})(?!\{)")
OPTION = re.compile(r"^:([\w-]+):\s*(.*)$")
TARGET = re.compile(r"^\([\w-]+\)=\n?", re.MULTILINE)
ADMONITIONS = ("note", "tip", "hint", "important", "warning", "caution", "attention", "seealso")


class Chapter(Protocol):
    """What the text of a chapter refers to."""

    def number(self, key: str, form: str) -> str: ...
    def citation(self, keys: list[str], *, textual: bool) -> str: ...
    def references(self) -> str: ...
    def page(self, target: str) -> tuple[str, str]: ...  # address, title
    def glued_picture(self, key: str) -> tuple[str, int | None]: ...  # address, width on the page
    def picture(self, path: str) -> str: ...  # address


def plain(text: str, chapter: Chapter) -> str:
    """Return the text without roles and directives; ValueError names one that is not known."""
    lines, done = TARGET.sub("", text).splitlines(), []
    run: list[str] = []  # lines outside all fences

    def finish_run():
        if run:
            done.append(inline("\n".join(run), chapter))
            run.clear()

    at = 0
    while at < len(lines):
        directive, code = OPENING.match(lines[at]), CODE_FENCE.match(lines[at])
        if not directive and not code:
            run.append(lines[at])
            at += 1
            continue
        finish_run()
        end = closing(lines, at, (directive or code)["fence"])
        if directive:
            body = lines[at + 1 : end]
            done.append(render(directive["name"], directive["argument"].strip(), body, chapter))
        else:
            done.append("\n".join(lines[at : end + 1]))
        at = end + 1
    finish_run()
    return "\n".join(done)


def closing(lines: list[str], start: int, fence: str) -> int:
    """The line that closes a fence: as many of its characters, or more, and nothing else."""
    for at in range(start + 1, len(lines)):
        found = lines[at].rstrip()
        if len(found) >= len(fence) and set(found) == {fence[0]}:
            return at
    raise ValueError(f"nothing closes {lines[start]!r}")


def options_and_body(lines: list[str]) -> tuple[dict[str, str], list[str]]:
    """What the lines `:name: value` at the start of a directive say, and what follows them."""
    options = {}
    while lines and (option := OPTION.match(lines[0])):
        options[option[1]] = option[2]
        lines = lines[1:]
    return options, lines


def directive(text: str, name: str, argument: str) -> tuple[dict[str, str], str] | None:
    """Options and body of the first such directive in a text, or None."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        found = OPENING.match(line)
        if found and (found["name"], found["argument"].strip()) == (name, argument):
            options, body = options_and_body(lines[at + 1 : closing(lines, at, found["fence"])])
            return options, "\n".join(body).strip()
    return None


def render(name: str, argument: str, body: list[str], chapter: Chapter) -> str:
    options, body = options_and_body(body)
    inside = plain("\n".join(body).strip(), chapter)
    if name in ("glue:figure", "figure", "image"):
        is_glued = name[0] == "g"
        address, width = (
            chapter.glued_picture(argument) if is_glued else (chapter.picture(argument), None)
        )
        alt = options.get("alt", "")
        picture = f"![{alt}]({address})"
        if width:  # it has more pixels than its size on the page
            picture = f'<img src="{address}" alt="{escape(alt)}" width="{width}">'
        return f"{picture}\n\n*{emphasis_inside(inside)}*" if inside else picture
    if name == "dropdown":
        return folded(argument, inside)
    if name == "admonition" or name in ADMONITIONS:
        title = argument if name == "admonition" else "See also" if name == "seealso" else name
        if name not in ("admonition", "seealso") and argument:  # a note may begin in its first line
            inside = f"{inline(argument, chapter)}\n{inside}".rstrip()
        if "dropdown" in options.get("class", ""):
            return folded(title.capitalize(), inside)
        quoted = [f"> {line}".rstrip() for line in inside.splitlines()]
        return "\n".join([f"> **{title[0].upper()}{title[1:]}**", ">", *quoted])
    if name == "bibliography":
        return chapter.references()
    raise ValueError(f"directive {{{name}}} has no form in a notebook for readers")


def folded(title: str, inside: str) -> str:
    return f"<details><summary>{title or 'More'}</summary>\n\n{inside}\n\n</details>"


def emphasis_inside(caption: str) -> str:
    """A caption is set in italics: what is in italics within it must not end them."""
    return re.sub(r"(?<![*\\])\*(?!\*)", "_", caption)


def inline(text: str, chapter: Chapter) -> str:
    def one(found: re.Match) -> str:
        if found["role"]:
            return role(found["role"], found["content"], chapter)
        if found["target"] is None or re.match(r"[a-z]+:", found["target"]):
            return found[0]
        address, title = chapter.page(found["target"])
        return f"[{inline(found['words'], chapter) or title}]({address})"

    return INLINE.sub(one, text)


def role(name: str, content: str, chapter: Chapter) -> str:
    if name in ("glue:text", "glue:", "glue"):
        key, _, form = content.partition(":")
        return chapter.number(key, form)
    if name in ("cite", "cite:p", "cite:t"):
        keys = [key.strip() for key in content.split(",")]
        return chapter.citation(keys, textual=name == "cite:t")
    if name in ("doc", "ref"):
        named = re.fullmatch(r"(.*?)\s*<(.+)>", content, re.DOTALL)
        address, title = chapter.page(named[2] if named else content)
        return f"[{named[1] if named else title}]({address})"
    raise ValueError(f"role {{{name}}} has no form in a notebook for readers")
