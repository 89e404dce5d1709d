"""HER2-IHC-40x for Hugging Face `datasets`: what the data set is, and how to load it."""

from __future__ import annotations

__version__ = "0.1.0"

#: The four classes, in the order of their ClassLabel ids.
CLASSES = ("0", "1+", "2+", "3+")


class Her2Error(Exception):
    """A problem that the reader can act on.

    Args:
        subject: the file, slide, region or option that it is about.
        expected: what should have been there.
        found: what was there.
        remedy: what to do about it, as a full sentence.
    """

    def __init__(self, subject: str, expected: str, found: str, remedy: str) -> None:
        super().__init__(subject, expected, found, remedy)
        self.subject = subject
        self.expected = expected
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.subject}: expected {self.expected}, found {self.found}. {self.remedy}"

    def __reduce__(self) -> tuple[type[Her2Error], tuple[str, str, str, str]]:
        # OSError keeps only two of four arguments, so that the default would not survive a worker's pipe.
        return type(self), (self.subject, self.expected, self.found, self.remedy)
