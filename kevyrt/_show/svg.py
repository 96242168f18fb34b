"""Drawing: a canvas of SVG, and the scales of axes.

Texts and axes have the colour of the text around them, so they can be read on any background.
What has a colour of its own has one that stands out from white and from black alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

BLUE, AMBER, RED = "#3b82f6", "#d97706", "#e5484d"
GREEN, VIOLET, TEAL = "#16a34a", "#8b5cf6", "#0891b2"
FAINT, SOFT = 0.15, 0.68

_FONT = "system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


@dataclass
class Canvas:
    """Collects elements; `bottom` is where the next panel begins."""

    width: float
    bottom: float = 0
    parts: list[str] = field(default_factory=list)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        anchor: str = "start",
        size: float = 12,
        bold: bool = False,
        opacity: float = 1,
        colour: str = "currentColor",
        title: str = "",
    ) -> None:
        look = f' font-size="{number(size)}"'
        look += ' font-weight="600"' if bold else ""
        look += f' fill-opacity="{opacity}"' if opacity != 1 else ""
        look += f' text-anchor="{anchor}"' if anchor != "start" else ""
        look += f' fill="{colour}"' if colour != "currentColor" else ""
        inside = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<text x="{number(x)}" y="{number(y)}"{look}>{inside}{escape(text)}</text>'
        )

    def rect(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        colour: str,
        *,
        opacity: float = 1,
        title: str = "",
        radius: float = 0,
    ) -> None:
        look = f' fill-opacity="{opacity}"' if opacity != 1 else ""
        look += f' rx="{number(radius)}"' if radius else ""
        inside = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(width)}" '
            f'height="{number(height)}" fill="{colour}"{look}>{inside}</rect>'
        )

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        *,
        colour: str = "currentColor",
        width: float = 1,
        opacity: float = 1,
        dash: str = "",
    ) -> None:
        look = f' stroke-opacity="{opacity}"' if opacity != 1 else ""
        look += f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}" '
            f'stroke="{colour}" stroke-width="{number(width)}"{look}/>'
        )

    def dot(self, x: float, y: float, colour: str, *, radius: float = 4, title: str = "") -> None:
        inside = f"<title>{escape(title)}</title>" if title else ""
        self.parts.append(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" '
            f'fill="{colour}">{inside}</circle>'
        )

    def path(
        self,
        points: Sequence[tuple[float, float]],
        colour: str,
        *,
        width: float = 1.8,
        floor: float | None = None,
    ) -> None:
        """A line through the points, with what is below it tinted as far as `floor`."""
        way = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        if floor is not None:
            left, right = number(points[0][0]), number(points[-1][0])
            self.parts.append(
                f'<path d="M{left} {number(floor)}L{way}L{right} {number(floor)}Z" '
                f'fill="{colour}" fill-opacity="{FAINT}"/>'
            )
        self.parts.append(
            f'<path d="M{way}" fill="none" stroke="{colour}" '
            f'stroke-width="{number(width)}" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )

    def whole(self, label: str) -> str:
        """The picture. It is as wide as there is room, but stays legible, and as it was drawn."""
        width, height = number(self.width), number(math.ceil(self.bottom))
        style = f"width:100%;min-width:640px;max-width:{width}px;height:auto;display:block"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'style="{style}" role="img" '
            f'aria-label="{escape(label)}" font-family="{_FONT}" fill="currentColor">'
            f"{''.join(self.parts)}</svg>"
        )


# ---- Scales --------------------------------------------------------------------------------------


def nice_step(span: float, ticks: int, base: float = 10) -> float:
    """1, 2 or 5 times a power of ten, of bytes in their unit: at most `ticks` fit the span."""
    unit = 1.0
    while base == 1024 and unit * base <= span:
        unit *= base
    least = span / ticks / unit
    power = 10 ** math.floor(math.log10(least)) if least > 0 else 1
    return unit * next(power * times for times in (1, 2, 5, 10) if power * times >= least * 0.999)


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high`, on a length from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            way = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            way = (value - self.low) / (self.high - self.low)
        return self.start + way * (self.end - self.start)


def decades(values: Iterable[float]) -> list[float]:
    """Powers of ten around the values: two at least."""
    known = [max(value, 1) for value in values]
    low = math.floor(math.log10(min(known)) + 1e-9) if known else 2
    high = math.ceil(math.log10(max(known)) - 1e-9) if known else 3
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in their order, a gap apart, within the bounds."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    floor = low
    for i in order:
        places[i] = floor = max(places[i], floor)
        floor += gap
    ceiling = high
    for i in reversed(order):
        places[i] = ceiling = min(places[i], ceiling)
        ceiling -= gap
    return places
