"""Learning curves as text for a terminal, and as an SVG that opens anywhere and fetches nothing."""

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
import pandas as pd

from labeling.learning.curves import mean_curves

MARKS = "ox+*#@%&"
COLORS = ("#0B6E69", "#BB881A", "#22308A", "#9F3501", "#7D56B8", "#7993BE", "#5A2C3C")  # as in the app's charts
WIDTH, HEIGHT = 720, 420  # of the SVG
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 44


def text_plot(curves: pd.DataFrame, width: int = 64, height: int = 14) -> str:
    """The mean curves as lines of text: accuracy upwards, labels to the right, a mark for each strategy."""
    points = mean_curves(curves)
    names = list(dict.fromkeys(points["strategy"]))
    ticks = _ticks(points["accuracy"].min(), points["accuracy"].max())
    bottom, top = ticks[0], ticks[-1]
    first, last = int(points["labels"].min()), int(points["labels"].max())
    grid = [[" "] * width for _ in range(height)]
    across = np.linspace(first, last, width)
    for place, name in reversed(list(enumerate(names))):  # the first named is drawn last, on top
        own = points[points["strategy"] == name].sort_values("labels")
        for column, accuracy in enumerate(np.interp(across, own["labels"], own["accuracy"])):
            row = round((top - accuracy) / (top - bottom) * (height - 1))
            grid[row][column] = MARKS[place % len(MARKS)]
    at = {round((top - tick) / (top - bottom) * (height - 1)): tick for tick in ticks}
    lines = [f"{f'{at[row]:.0%}' if row in at else '':>5} |{''.join(cells).rstrip()}" for row, cells in enumerate(grid)]
    lines += [f"      +{'-' * width}", f"       {first:<{width // 2}}{f'{last} labels':>{width - width // 2}}"]
    legend = "   ".join(f"{MARKS[place % len(MARKS)]} {name}" for place, name in enumerate(names))
    return "\n".join([*lines, f"       {legend}"])


def svg_plot(curves: pd.DataFrame) -> str:
    """The mean curves with their 95 % bands, as an SVG document."""
    points = mean_curves(curves)
    names = list(dict.fromkeys(points["strategy"]))
    spread = points[["accuracy", "low", "high"]].to_numpy()
    ticks = _ticks(float(np.nanmin(spread)), float(np.nanmax(spread)))
    first, last = int(points["labels"].min()), int(points["labels"].max())

    def x(labels: float) -> float:
        return LEFT + (labels - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT)

    def y(accuracy: float) -> float:
        return HEIGHT - BOTTOM - (accuracy - ticks[0]) / (ticks[-1] - ticks[0]) * (HEIGHT - TOP - BOTTOM)

    drawn = []
    for tick in ticks:
        drawn.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#DFDBD1"/>')
        drawn.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.0%}</text>')
    for labels in np.unique(np.linspace(first, last, 6).round()):
        drawn.append(f'<text x="{x(labels):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{labels:.0f}</text>')
    drawn.append(f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 8}" text-anchor="middle">labels</text>')
    for place, name in enumerate(names):
        color = COLORS[place % len(COLORS)]
        own = points[points["strategy"] == name].sort_values("labels")
        band = own.dropna(subset=["low", "high"])
        around = [
            *zip(band["labels"], band["high"], strict=True),
            *zip(band["labels"][::-1], band["low"][::-1], strict=True),
        ]
        drawn.append(f'<polygon points="{_points(around, x, y)}" fill="{color}" opacity="0.15"/>')
        line = list(zip(own["labels"], own["accuracy"], strict=True))
        drawn.append(f'<polyline points="{_points(line, x, y)}" fill="none" stroke="{color}" stroke-width="2.5"/>')
        at = HEIGHT - BOTTOM - 18 * (len(names) - place)
        drawn.append(f'<path d="M{WIDTH - 190} {at - 4}h22" stroke="{color}" stroke-width="2.5"/>')
        drawn.append(f'<text x="{WIDTH - 162}" y="{at}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="sans-serif" font-size="13" fill="#22272B">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#FCFBF8"/>{"".join(drawn)}</svg>\n'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round accuracies, evenly spaced, the first at or below ``low`` and the last at or above ``high``."""
    step = next((s for s in (0.01, 0.02, 0.05, 0.1, 0.2) if high - low <= 5 * s), 0.25)
    first, last = int(np.floor(low / step + 1e-9)), int(np.ceil(high / step - 1e-9))
    return [round(step * place, 4) for place in range(first, max(last, first + 1) + 1)]


def _points(line: Sequence[tuple[float, float]], x: Callable[[float], float], y: Callable[[float], float]) -> str:
    return " ".join(f"{x(labels):.1f},{y(accuracy):.1f}" for labels, accuracy in line)
