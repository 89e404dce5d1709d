"""Plain charts drawn with Pillow alone, so that a base install makes them, and the same data gives the same bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from PIL import Image, ImageDraw, ImageFont

_WIDTH = 1000
_MARGIN = 24
_ROW = 28
_TEXT = 17
_INK, _FAINT = (40, 40, 40), (222, 222, 222)

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Bar:
    """One bar.

    Args:
        label: written before it.
        value: its length, 0 or more.
        colour: of it.
    """

    label: str
    value: int
    colour: Colour


def draw_bars(groups: Mapping[str, Sequence[Bar]], axis: str) -> Image.Image:
    """Horizontal bars in titled groups, each with its value behind it.

    Args:
        groups: title -> bars, from the top down.
        axis: what the lengths count.
    """
    rows = sum(len(bars) + 1 for bars in groups.values()) + 1
    chart = _Canvas(2 * _MARGIN + rows * _ROW)
    scale = _Scale(0, max((bar.value for bars in groups.values() for bar in bars), default=0), 110, _WIDTH - 110)
    chart.text(_MARGIN, _MARGIN, axis)
    top = _MARGIN + _ROW
    for title, bars in groups.items():
        chart.text(_MARGIN, top, title)
        for bar in bars:
            top += _ROW
            chart.text(scale.start - 10, top, bar.label, right=True)
            chart.box(scale.start, top + 3, scale(bar.value), top + _ROW - 4, bar.colour)
            chart.text(scale(bar.value) + 8, top, f"{bar.value:,}")
        top += _ROW
    return chart.image


def draw_columns(groups: Mapping[str, Sequence[int]], colours: Mapping[str, Colour], axis: str) -> Image.Image:
    """Vertical bars without names, side by side in titled groups.

    Args:
        groups: title -> values, 0 or more, from the left.
        colours: of each title.
        axis: what the heights count.
    """
    bottom, top = 400, _MARGIN + 2 * _ROW
    chart = _Canvas(bottom + _ROW + _MARGIN)
    chart.text(_MARGIN, _MARGIN, axis)
    highest = max((value for values in groups.values() for value in values), default=0)
    scale = _Scale(0, highest, bottom, top)
    for tick in scale.ticks():
        chart.box(90, scale(tick), _WIDTH - _MARGIN, scale(tick) + 1, _FAINT)
        chart.text(80, scale(tick) - _ROW / 2, f"{tick:,.0f}", right=True)
    # A gap as wide as two bars between groups.
    width = (_WIDTH - _MARGIN - 90) / max(1, sum(map(len, groups.values())) + 2 * len(groups))
    left = 90 + width
    for title, values in groups.items():
        chart.text(left, bottom + 6, f"{title} ({len(values)})")
        for value in values:
            chart.box(left, scale(value), left + max(1.0, width * 0.85), bottom, colours[title])
            left += width
        left += 2 * width
    return chart.image


def draw_strips(groups: Mapping[str, Sequence[float]], colours: Mapping[str, Colour], axis: str) -> Image.Image:
    """A dot for each value, in a row for each group, with the group's median as a line.

    Args:
        groups: title -> values, from the top down.
        colours: of each title.
        axis: what is measured, with its unit.
    """
    height = 84
    values = [value for group in groups.values() for value in group]
    bottom = _MARGIN + _ROW + height * len(groups)
    chart = _Canvas(bottom + _ROW + _MARGIN)
    chart.text(_MARGIN, _MARGIN, axis)
    scale = _Scale(min(0.0, *values, 0.0), max(values, default=0.0), 110, _WIDTH - 60)
    for tick in scale.ticks():
        chart.box(scale(tick), _MARGIN + _ROW, scale(tick) + 1, bottom, _FAINT)
        chart.text(scale(tick) + 16, bottom + 6, f"{tick:.2f}", right=True)
    for row, (title, group) in enumerate(groups.items()):
        top = _MARGIN + _ROW + row * height
        chart.text(_MARGIN, top + height / 2 - _ROW / 2, title)
        if group:
            middle = scale(median(group))
            chart.box(middle - 1, top + 8, middle + 2, top + height - 8, _INK)
        for at, value in enumerate(group):
            # Spread over the row by the golden ratio, which never lines dots up.
            chart.dot(scale(value), top + 14 + (at * 0.618034 % 1) * (height - 28), colours[title])
    return chart.image


#: Values that are nearer than this are one value.
_LEAST_SPAN = 1e-9


@dataclass(frozen=True)
class _Scale:
    """From values to pixels along an axis; `end` is the place of the last tick, at or past `high`."""

    low: float
    high: float
    start: float
    end: float

    @property
    def _step(self) -> float:
        span = self.high - self.low
        span = span if span > _LEAST_SPAN else 1.0
        unit = 10.0 ** math.floor(math.log10(span / 4))
        return next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor * 5 >= span)

    def ticks(self) -> list[float]:
        first, last = math.floor(self.low / self._step), math.ceil(self.high / self._step - 1e-9)
        return [number * self._step for number in range(first, max(last, first + 1) + 1)]

    def __call__(self, value: float) -> float:
        ticks = self.ticks()
        return self.start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (self.end - self.start)


class _Canvas:
    """A white picture, drawn on in rounded pixels."""

    def __init__(self, height: int) -> None:
        self.image = Image.new("RGB", (_WIDTH, height), "white")
        self._draw = ImageDraw.Draw(self.image)
        self._font = ImageFont.load_default(_TEXT)

    def text(self, x: float, y: float, text: str, *, right: bool = False) -> None:
        width = self._draw.textlength(text, font=self._font) if right else 0
        self._draw.text((round(x - width), round(y + (_ROW - _TEXT) / 2 - 2)), text, fill=_INK, font=self._font)

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        if round(right) > round(left) and round(bottom) > round(top):
            corners = (round(left), round(top), round(right) - 1, round(bottom) - 1)
            self._draw.rectangle(corners, fill=colour)

    def dot(self, x: float, y: float, colour: Colour) -> None:
        corners = (round(x) - 4, round(y) - 4, round(x) + 4, round(y) + 4)
        self._draw.ellipse(corners, fill=colour, outline="white")
