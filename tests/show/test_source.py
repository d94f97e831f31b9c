import functools
import inspect

import pytest
from markdown_it import MarkdownIt

from speech_interp.show import plotting
from speech_interp.show.source import show_source


def quiet(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)

    return inner


@quiet
def small(x: int) -> int:
    """The double.

    Second line of the docstring.
    """
    # a comment stays
    return 2 * x  # and this one


def fenced():
    return "```"


def code_of(shown):
    (fence,) = [t for t in MarkdownIt().parse(shown._repr_markdown_()) if t.type == "fence"]
    assert fence.info == "python"
    return fence.content


def test_shows_the_body_verbatim_without_decorator_and_docstring():
    assert code_of(show_source(small)) == (
        "def small(x: int) -> int:\n    # a comment stays\n    return 2 * x  # and this one\n"
    )
    with_docstring = code_of(show_source(small, docstring=True))
    assert with_docstring.startswith('def small(x: int) -> int:\n    """The double.\n')


def test_names_the_file_and_its_lines():
    lines, first = inspect.getsourcelines(plotting.level_line)
    shown = repr(show_source(plotting.level_line))
    assert shown.startswith(f"`speech_interp/show/plotting.py`, lines {first}\u2013")
    assert f"\u2013{first + len(lines) - 1}\n" in shown
    namespace = {"ArrayLike": object, "Axes": object, "Line2D": object}
    exec(code_of(show_source(plotting.level_line)), namespace)  # it is whole
    assert callable(namespace["level_line"])


def test_backticks_in_the_source_do_not_end_the_block():
    assert code_of(show_source(fenced)) == 'def fenced():\n    return "```"\n'


def test_long_functions_are_refused(tmp_path, monkeypatch):
    body = "\n".join(f"    x = {i}" for i in range(26))
    (tmp_path / "long_module.py").write_text(
        f"def long():\n{body}\n\n\ndef fits():\n{body[:-11]}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import long_module

    with pytest.raises(ValueError, match="long would show 27 lines; a page shows at most 26"):
        show_source(long_module.long)
    assert code_of(show_source(long_module.fits)).count("\n") == 26


def test_what_has_no_source_is_a_type_error():
    with pytest.raises(TypeError, match="got builtin_function"):
        show_source(len)
