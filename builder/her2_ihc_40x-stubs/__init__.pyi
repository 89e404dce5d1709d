import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import datasets
from PIL import Image

__version__: Final[str]
__all__: list[str]

CLASSES: Final[tuple[str, str, str, str]]
SPLITS: Final[tuple[str, str]]
CONFIGS: Final[Mapping[str, str]]
ZENODO_RECORD: Final[str]
DOI: Final[str]
COUNTS: Final[Mapping[str, Mapping[str, Mapping[str, int]]]]
SLIDES: Final[Mapping[str, int]]
REGIONS: Final[Mapping[str, int]]
CLASS_DEFINITIONS: Final[Mapping[str, str]]
ASCO_CAP: Final[Mapping[str, str]]
ERRATA: Final[tuple[str, ...]]
CITATION: Final[str]
FEATURES: Final[Any]
BLOCK_SIZE: Final[int]
MAX_RATIO: Final[int]
MAX_MEMBERS: Final[int]
MAX_IMAGE_BYTES: Final[int]
MANIFEST_FORMAT: Final[str]
MANIFEST_VERSION: Final[int]
IMAGE_ERRORS: Final[tuple[type[Exception], ...]]
DEFAULT_FOLDER: Final[str]
ENVIRONMENT_VARIABLE: Final[str]

def one_line(text: str) -> str: ...

class Her2Error(Exception):
    subject: str
    expected: str
    found: str
    remedy: str
    def __init__(self, subject: str, expected: str, found: str, remedy: str) -> None: ...

class ReleaseError(Her2Error, ValueError): ...
class CountsError(ReleaseError): ...
class SourceError(Her2Error, FileNotFoundError): ...

@dataclass(frozen=True)
class Blob:
    name: str
    path: str
    size: int
    offset: int | None = None
    stored: int = 0
    method: int = 0
    crc: int | None = None
    stamp: tuple[int, int] = (0, 0)
    def read(self) -> bytes: ...

@dataclass(frozen=True)
class ReleasePatch:
    config: str
    split: str
    label: str
    score: str
    side: str
    number: int
    blob: Blob
    @property
    def file_name(self) -> str: ...
    @property
    def stem(self) -> str: ...

@dataclass(frozen=True)
class Release:
    root: Path
    patches: Mapping[str, Sequence[ReleasePatch]]
    def fingerprint(self, config: str) -> str: ...
    def check_counts(self, config: str) -> None: ...

def parse_patch_name(name: str) -> tuple[str, str, int]: ...
def open_release(
    root: str | os.PathLike[str], *, spool: Path | None = None, whole: bool = True, config: str | None = None
) -> Release: ...
def blocks(patches: Sequence[ReleasePatch]) -> list[tuple[str, tuple[ReleasePatch, ...]]]: ...
def check_image(data: bytes, name: str, size: int | None) -> Image.Image: ...
def release_row(patch: ReleasePatch, data: bytes) -> dict[str, Any]: ...

class Her2Ihc40x(datasets.GeneratorBasedBuilder):
    release: Release
    image_size: int | None
    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str],
        config_name: str = "wsi_split",
        verify: Literal["counts", "none"] = "counts",
        image_size: int | None = 1024,
        **arguments: Any,
    ) -> None: ...

def load_dataset(
    config: str = "wsi_split",
    *,
    source: str | os.PathLike[str] | None = None,
    split: str | None = None,
    streaming: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    verify: Literal["counts", "none"] = "counts",
    **load_dataset_kwargs: Any,
) -> Any: ...
