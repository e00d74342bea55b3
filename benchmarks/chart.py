"""A chart of what an atom costs in flows of different sizes, as an SVG file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.measuring import Row

#: By shape: what an atom costs, in seconds, by the size of the flow.
Series = Mapping[str, Mapping[int, float]]

#: Told apart by the colour-blind, too.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 40, 50


def series_of(rows: Sequence[Row]) -> Series:
    """Find what rows say about the cost of an atom in flows of different sizes."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        if "each_s" in row.raw:
            found.setdefault(row.raw["shape"], {}).update(row.raw["each_s"])
    return found


def draw(series: Series) -> str:
    """Draw a line for each shape; sizes are on a logarithmic scale."""
    sizes = sorted({size for points in series.values() for size in points})
    highest = max(cost for points in series.values() for cost in points.values()) * 1e6
    step = _step(highest)
    top = step * math.ceil(highest / step)
    low, high = math.log(sizes[0]), math.log(sizes[-1])

    def x(size: int) -> float:
        share = (math.log(size) - low) / ((high - low) or 1)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(cost_us: float) -> float:
        return _HEIGHT - _BOTTOM - cost_us / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        _text(_LEFT, 20, "microseconds per atom, from load to end", anchor="start"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, "atoms in the flow"),
    ]
    for number in range(round(top / step) + 1):
        level = number * step
        parts += [
            _line([(_LEFT, y(level)), (_WIDTH - _RIGHT, y(level))], "#dddddd"),
            _text(_LEFT - 8, y(level) + 4, f"{level:g}", anchor="end"),
        ]
    parts += [_text(x(size), _HEIGHT - _BOTTOM + 20, f"{size:,}") for size in sizes]
    for number, (shape, points) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [(x(size), y(points[size] * 1e6)) for size in sorted(points)]
        parts.append(_line(places, colour, width=2))
        parts += [
            f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="3.5" fill="{colour}"/>'
            for cx, cy in places
        ]
        left, height = _WIDTH - _RIGHT + 20, _TOP + 10 + 22 * number
        parts += [
            _line([(left, height), (left + 20, height)], colour, width=2),
            _text(left + 28, height + 4, shape, anchor="start"),
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        ' font-family="sans-serif" font-size="12">\n'
        '<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _step(highest: float) -> float:
    """Choose a round distance of the lines, of which there are four to ten."""
    power: float = 10 ** math.floor(math.log10(highest))
    return power / next(part for part in (5, 2, 1) if highest / power * part <= 10)


def _line(
    places: Sequence[tuple[float, float]], colour: str, *, width: float = 1
) -> str:
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}"'
        f' stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, *, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
