"""Small helpers for the pages: show a function of the package as it stands."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

LONGEST = 26  # lines; a function that a page shows is no longer, its checks live in helpers


class Markdown:
    """Text that notebooks and the site render as Markdown."""

    def __init__(self, text: str):
        self.text = text

    def _repr_markdown_(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def show_source(function: Callable | type, *, docstring: bool = False) -> Markdown:
    """The source of a function or class of the package, verbatim, with its file and lines.

    The docstring is left out unless asked for, decorators always. Raises ValueError where more
    than 25 lines would be shown.
    """
    function = inspect.unwrap(function)
    lines, first = inspect.getsourcelines(function)
    code = textwrap.dedent("".join(lines))
    node = ast.parse(code).body[0]
    assert isinstance(node, ast.FunctionDef | ast.ClassDef)
    kept = code.splitlines()
    if not docstring and ast.get_docstring(node) is not None and len(node.body) > 1:
        text = node.body[0]
        del kept[text.lineno - 1 : text.end_lineno]
    kept = kept[node.lineno - 1 :]
    if len(kept) > LONGEST:
        raise ValueError(
            f"{function.__name__} would show {len(kept)} lines; a page shows at most {LONGEST}"
        )
    path = Path(inspect.getfile(function))
    folder = "/".join(function.__module__.split(".")[:-1]) or path.parent.name
    where = f"`{folder}/{path.name}`, lines {first}\N{EN DASH}{first + len(lines) - 1}"
    code = "\n".join(kept)
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", code)), 3)
    return Markdown(f"{where}\n\n{fence}python\n{code}\n{fence}")
