"""Where things are on a slide. One frame throughout: level-0 pixels, origin at the slide's top left, y downwards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Size:
    """A width and a height in pixels."""

    width: int
    height: int


@dataclass(frozen=True, order=True)
class Box:
    """An axis-parallel rectangle of whole pixels: level 0, `x` and `y` at its top left."""

    y: int
    x: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column to the right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height

    @property
    def area(self) -> int:
        """Pixels in the box."""
        return self.width * self.height

    def overlaps(self, other: Box) -> bool:
        """Whether the two boxes share a pixel."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom

    def inside(self, size: Size) -> bool:
        """Whether the whole box lies on a slide of `size`."""
        return self.x >= 0 and self.y >= 0 and self.right <= size.width and self.bottom <= size.height
