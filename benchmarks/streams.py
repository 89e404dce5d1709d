"""Ways to go once through the images of `wsi_split` train, each decoded; all give the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import datasets
import webdataset
from inputs import Inputs, train_files
from PIL import Image


def streams(inputs: Inputs) -> dict[str, Callable[[], None]]:
    """Name -> one pass over the images.

    Every one checks that it saw them all.
    """
    files = train_files(inputs)
    count = len(files)
    shards = datasets.load_dataset(str(inputs.shards), "wsi_split", split="train", streaming=True)
    folder = datasets.load_dataset("imagefolder", data_dir=str(inputs.loose), split="train", streaming=True)
    ways: dict[str, Callable[[], Iterable[Image.Image]]] = {
        "loop": lambda: map(_open, files),
        "shards": lambda: _images(shards),
        "imagefolder": lambda: _images(folder),
        "webdataset": lambda: (
            sample[inputs.suffix] for sample in webdataset.WebDataset(str(inputs.tar), shardshuffle=False).decode("pil")
        ),
    }
    if hasattr(shards, "decode"):
        ways["threads"] = lambda: _images(shards.decode(num_threads=2))
    return {name: _Pass(way, count) for name, way in ways.items()}


class _Pass:
    def __init__(self, way: Callable[[], Iterable[Image.Image]], count: int) -> None:
        self._way, self._count = way, count

    def __call__(self) -> None:
        seen = 0
        for image in self._way():
            image.load()
            seen += image.size == (1024, 1024)
        if seen != self._count:
            raise RuntimeError(f"expected {self._count} images, found {seen}")


def _open(path: Any) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def _images(stream: Any) -> Iterable[Image.Image]:
    return (row["image"] for row in stream)
