"""What pages of the book share: numbers and figures that the prose shows elsewhere on the page."""

from typing import Any

from matplotlib.figure import Figure

from speech_interp.statistics.layer_scores import LayerScores


def keep(prefix: str | dict | None = None, numbers: dict[str, Any] | None = None, **more) -> None:
    """Keep values for the prose, which shows them by name and format: role `glue:text`, `name:.1f`.

    `keep(found=3.2, chance=0.5)` keeps two numbers, `keep("hubert", {"best": 4})` one under the
    name `hubert_best`. NumPy and torch scalars become plain numbers, so that formats apply.
    """
    from myst_nb import glue

    if isinstance(prefix, dict):
        prefix, numbers = None, prefix
    named = {f"{prefix}_{name}" if prefix else name: v for name, v in (numbers or {}).items()}
    for name, value in (named | more).items():
        glue(name, value.item() if hasattr(value, "item") else value, display=False)


def keep_figure(name: str, figure: Figure) -> None:
    """Keep a figure, to be shown elsewhere on the page: the answer stands at the top."""
    import matplotlib.pyplot as plt
    from myst_nb import glue

    glue(name, figure, display=False)
    plt.close(figure)


def with_interval(scores: LayerScores, layer: int = 0, *, digits: int = 2) -> str:
    """Return "score [lower, upper]" of one layer, as prose shows it."""
    low, high = scores.interval()[:, layer]
    return f"{scores.score()[layer]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
