"""`sound_map`: a map whose points are buttons that each play their sound.

The same player as `sound_board`: the points stand in rows from top to bottom, so the arrow keys
move to the nearest point in that direction, and a screen reader reads what each of them is.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from speech_interp.show.player_parts import Player, ink, safe_text
from speech_interp.show.sound_board import Sample, joined, sound_page

ROWS = 12  # bands of the map, which the arrow keys up and down step through
EDGE = 4.0  # per cent of the map that stay free around the points


def sound_map(
    samples: Sequence[Sample],
    places: Float[np.ndarray, "sample 2"],
    *,
    title: str,
    x_name: str,
    y_name: str,
    colours: Sequence[str] | None = None,
    rate_hz: int = 16_000,
) -> Player:
    """A player with a point for every sample at its place (x to the right, y upwards).

    `colours`: "#rrggbb" for each point. Raises ValueError for places or colours that do not fit the
    samples, and for waves that `sound_board` would refuse.
    """
    xy = np.asarray(places, dtype=float)
    if not samples or xy.shape != (len(samples), 2) or not np.isfinite(xy).all():
        raise ValueError(
            f"places have shape {xy.shape}, expected finite ({len(samples)}, 2), at least one"
        )
    if colours is not None and len(colours) != len(samples):
        raise ValueError(f"colours name {len(colours)} points, expected {len(samples)}")
    span = np.ptp(xy, axis=0)
    share = (xy - xy.min(axis=0)) / np.where(span > 0, span, 1)  # 0 to 1
    share[:, 1] = 1 - share[:, 1]  # a page counts from its top
    band = np.minimum((share[:, 1] * ROWS).astype(int), ROWS - 1)
    order = np.lexsort((share[:, 0], band))
    sound, spans = joined([samples[i] for i in order], rate_hz)
    at = EDGE + (100 - 2 * EDGE) * share
    rows: dict[int, list[str]] = {}
    for i, (start_s, end_s) in zip(order, spans, strict=True):
        place = f"left:{at[i, 0]:.1f}%;top:{at[i, 1]:.1f}%"
        if colours is not None:
            place += f";background:{safe_text(colours[i])};color:{ink(colours[i])}"
        said = safe_text(samples[i].said or f"{samples[i].shown} {samples[i].small}".strip())
        rows.setdefault(band[i], []).append(
            f'<div role="gridcell" class="si-key si-point" style="{place}" '
            f'aria-colindex="{1 + round(99 * share[i, 0])}" data-t="{start_s:.4f} {end_s:.4f}" '
            f'aria-label="{said}"><span>{safe_text(samples[i].shown)}</span></div>'
        )
    lines = "".join(f'<div role="row">{"".join(points)}</div>' for points in rows.values())
    across, up = safe_text(x_name), safe_text(y_name)
    grid = (
        f'<div class="si-map" role="grid" aria-colcount="100" aria-label="{safe_text(title)}: '
        f'{across} from left to right, {up} upwards">{lines}</div>'
        f'<div class="si-axes" aria-hidden="true">{across} →, {up} ↑</div>'
    )
    return sound_page(sound, rate_hz, title, grid, count=len(samples), style=_map_style())


@cache
def _map_style() -> str:
    return Path(__file__).with_name("map.css").read_text(encoding="utf-8").replace("\n", "")
