"""HER2-IHC-40x for Hugging Face `datasets`: what the data set is, and how to load it.

HER2-IHC-40x (Nabi et al., 2025, doi:10.5281/zenodo.15179608) holds 1024 x 1024 patches of HER2-stained breast
cancer slides at 40x, scored 0, 1+, 2+, 3+, in two variants: split by slide (`wsi_split`) and by patch
(`patch_split`). This module stands alone: the published facts as data, a reader of the release as it is
downloaded, a `datasets` builder, and `load_dataset`, which also loads shards made by `her2-ihc-40x pack`.

Read in this order: facts, errors, zips, release, builder, loading.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import IO, Any, Literal

import datasets
import pyarrow as pa
import yaml
from PIL import Image, UnidentifiedImageError

__version__ = "0.1.0"

__all__ = [
    "ASCO_CAP",
    "CITATION",
    "CLASSES",
    "CLASS_DEFINITIONS",
    "CONFIGS",
    "COUNTS",
    "DOI",
    "ERRATA",
    "FEATURES",
    "REGIONS",
    "SLIDES",
    "SPLITS",
    "ZENODO_RECORD",
    "CountsError",
    "Her2Error",
    "Her2Ihc40x",
    "Release",
    "ReleaseError",
    "ReleasePatch",
    "SourceError",
    "load_dataset",
    "open_release",
]

logger = logging.getLogger(__name__)

# --- The published facts ------------------------------------------------------------------------------------------

#: The four classes, in the order of their ClassLabel ids.
CLASSES = ("0", "1+", "2+", "3+")
SPLITS = ("train", "test")
#: Config name -> how the patches were split.
CONFIGS: Mapping[str, str] = MappingProxyType(
    {
        "wsi_split": "Split by slide: no slide is on both sides. Report results on this one.",
        "patch_split": "Split by patch: slides are on both sides, so that test scores are optimistic.",
    }
)
ZENODO_RECORD = "15179608"
DOI = "10.5281/zenodo.15179608"

#: Patches per config, split and class, as listed in the release; train + test of a class is what its authors print.
COUNTS: Mapping[str, Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "wsi_split": MappingProxyType(
            {
                "train": MappingProxyType({"0": 3131, "1+": 1837, "2+": 523, "3+": 2602}),
                "test": MappingProxyType({"0": 658, "1+": 316, "2+": 111, "3+": 762}),
            }
        ),
        "patch_split": MappingProxyType(
            {
                "train": MappingProxyType({"0": 3031, "1+": 2151, "2+": 905, "3+": 2710}),
                "test": MappingProxyType({"0": 758, "1+": 538, "2+": 226, "3+": 678}),
            }
        ),
    }
)
#: Slides and annotated regions by score: 107 slides, 1199 regions.
SLIDES: Mapping[str, int] = MappingProxyType({"0": 23, "1+": 26, "2+": 27, "3+": 31})
REGIONS: Mapping[str, int] = MappingProxyType({"0": 429, "1+": 131, "2+": 483, "3+": 156})

#: The authors' classes as they print them, where the record's text gives them.
CLASS_DEFINITIONS: Mapping[str, str] = MappingProxyType(
    {"1+": "weak or incomplete membrane staining in <= 10 % of tumour cells (as printed; perhaps a misprint)"}
)
#: ASCO/CAP 2018, affirmed 2023; percentages are of the whole invasive tumour, not of a patch.
ASCO_CAP: Mapping[str, str] = MappingProxyType(
    {
        "0": "no staining, or faint incomplete membrane staining in <= 10 % of tumour cells",
        "1+": "faint incomplete membrane staining in > 10 %",
        "2+": "weak to moderate complete staining in > 10 %, or intense complete staining in <= 10 % (reflex ISH)",
        "3+": "intense complete membrane staining in > 10 %",
    }
)
ERRATA = (
    "The authors print 8897 training patches for the patch variant; the release lists 8797, and 8797 + 2200 is the "
    "10,997 that they print as its total.",
    "The variants' names differ between sources (HER2-IHC-40x-WSI and -Patch, WSI-based and Patch-based): here they "
    "are wsi_split and patch_split.",
    "The authors' 1+, as printed (weak or incomplete staining in <= 10 % of tumour cells), overlaps what ASCO/CAP "
    "calls 0 and leaves faint staining in > 10 % without a class. Ask the authors before you train HER2-low models.",
    "patch_split leaks: 1,748 of its 2,200 test patches come from slides on the training side of the slide split.",
)
CITATION = """\
@dataset{her2_ihc_40x,
  author    = {Nabi and Fauzi and {Abdul Karim} and Cheah and Chiew and Looi},
  title     = {HER2-IHC-40x},
  year      = {2025},
  publisher = {Zenodo},
  doi       = {10.5281/zenodo.15179608},
  url       = {https://doi.org/10.5281/zenodo.15179608}
}
"""

#: The columns of every shard, from the release and from slides alike; what is not known is null.
FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=list(CLASSES)),
        "label_source": datasets.Value("string"),
        "slide_id": datasets.Value("string"),
        "case_id": datasets.Value("string"),
        "slide_score": datasets.ClassLabel(names=list(CLASSES)),
        "slide_side": datasets.Value("string"),
        "patch_id": datasets.Value("string"),
        "roi_id": datasets.Value("string"),
        "x": datasets.Value("int32"),
        "y": datasets.Value("int32"),
        "mpp": datasets.Value("float64"),
        "hue_similarity": datasets.Value("float32"),
        "tissue_fraction": datasets.Value("float32"),
        "sha256": datasets.Value("string"),
    }
)

#: Present patches in a block, the unit of the release, which names no slide.
BLOCK_SIZE = 128

# --- Errors -------------------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Text with names from the data in it as one line that steers no terminal, whatever they hold; accents stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


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
        return one_line(f"{self.subject}: expected {self.expected}, found {self.found}. {self.remedy}")

    def __reduce__(self) -> tuple[type[Her2Error], tuple[str, str, str, str]]:
        # OSError keeps only two of four arguments, so that the default would not survive a worker's pipe.
        return type(self), (self.subject, self.expected, self.found, self.remedy)


class ReleaseError(Her2Error, ValueError):
    """A release that is damaged, unsafe, or laid out in no known way."""


class CountsError(ReleaseError):
    """A release whose patches per class and split differ from the published ones."""


class SourceError(Her2Error, FileNotFoundError):
    """No data where `load_dataset` looked."""


# --- Zips: where the bytes of a file lie --------------------------------------------------------------------------

#: Refuse members that unpack to more than this times their stored size: patches are PNG and JPEG, which barely shrink.
MAX_RATIO = 100
MAX_MEMBERS = 200_000
MAX_IMAGE_BYTES = 64 << 20
#: Of a zip's directory; one of as many members with names of 100 characters fits.
MAX_DIRECTORY_BYTES = 32 << 20
_LOCAL_HEADER = 30  # bytes, APPNOTE.TXT 4.3.7
#: Further than any file's end, and not too large a number to seek to, as one of a damaged directory may be.
_FAR = 1 << 62
#: A zip in a folder is the release's if its name says so; other zips of a downloads folder are none of our business.
_RELEASE_ZIP = re.compile(r"her2|^(train|test)[-_ ]?data", re.IGNORECASE)
_JUNK = re.compile(r"(^|/)(__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)", re.IGNORECASE)


@dataclass(frozen=True)
class Blob:
    """Where the bytes of one file lie: a file on disk, or a member of a zip (which may lie inside another zip).

    Args:
        name: the path to show, from the release's root, through zips, with "/".
        path: the file on disk.
        size: bytes of the file, unpacked.
        offset: where the member's local header starts in `path`; None for a file on disk.
        stored: bytes of the member as stored.
        method: zip compression method.
        crc: CRC-32 of the bytes; None for a file on disk.
        stamp: modification and change time in ns of a file on disk, (0, 0) for a member.
    """

    name: str
    path: str
    size: int
    offset: int | None = None
    stored: int = 0
    method: int = zipfile.ZIP_STORED
    crc: int | None = None
    stamp: tuple[int, int] = (0, 0)

    def read(self) -> bytes:
        """The bytes of the file, checked against its size and CRC.

        A member is read at its offset, without opening the zip again: a release's directories hold thousands of
        entries, and workers would parse them once a block.

        Raises:
            ReleaseError: they cannot be read, or are not what the zip's directory says.
        """
        if (largest := max(self.size, self.stored)) > MAX_IMAGE_BYTES:
            raise _bad(self.name, f"an image of at most {MAX_IMAGE_BYTES} bytes", f"{largest} bytes")
        try:
            with Path(self.path).open("rb") as file:
                data = file.read(self.size + 1) if self.offset is None else self._unpack(file)
        except (OSError, zlib.error, OverflowError) as error:
            raise _bad(self.name, "a readable file", str(error)) from error
        if len(data) != self.size or (self.crc is not None and zlib.crc32(data) != self.crc):
            raise _bad(self.name, f"{self.size} bytes with the CRC of the zip's directory", "other bytes")
        return data

    def _unpack(self, file: IO[bytes]) -> bytes:
        file.seek(_payload_start(file, self.offset or 0, self.name))
        raw = file.read(self.stored)
        if self.method == zipfile.ZIP_STORED:
            return raw
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, self.size + 1)


def _bad(name: str, expected: str, found: str) -> ReleaseError:
    return ReleaseError(name, expected, found, "Download it again and compare its md5 with the record's.")


def _unfit(name: str, expected: str, found: str) -> ReleaseError:
    return ReleaseError(name, expected, found, "Unpack the zip with a tool that you trust, and give the folder.")


def _payload_start(file: IO[bytes], offset: int, name: str) -> int:
    """Where a member's data starts: its local header's name and extra field may differ from the directory's."""
    file.seek(min(offset, _FAR))
    header = file.read(_LOCAL_HEADER)
    if len(header) != _LOCAL_HEADER or header[:4] != b"PK\x03\x04":
        raise _bad(name, "a zip member's local header", "other bytes")
    return offset + _LOCAL_HEADER + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")


class _Section(io.RawIOBase):
    """A window on a file, so that a stored zip inside a zip is opened where it lies; no read is larger than it need be.

    `zipfile` reads the whole directory at once, and makes an object of each of its entries before they can be counted.
    """

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        super().__init__()
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError("seek before the start of a zip member")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > MAX_DIRECTORY_BYTES:
            raise OSError(f"{wanted} bytes of directory")
        self._file.seek(self._start + self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        return data


def _checked_members(archive: zipfile.ZipFile, name: str) -> list[zipfile.ZipInfo]:
    """The files of a zip, sorted by name, once no member is found to be unsafe."""
    if min((info.header_offset for info in archive.infolist()), default=-1) != 0:
        # The end of a zip cut short may hold the directory of a zip inside it, and pass for the whole.
        raise _bad(name, "a zip whose first file is at its start", "one that is cut short, or empty")
    if len(archive.infolist()) > MAX_MEMBERS:
        raise _bad(name, f"at most {MAX_MEMBERS} files in a zip", str(len(archive.infolist())))
    for info in archive.infolist():
        shown = f"{name}/{info.filename}"
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\\0]|^[A-Za-z]:", info.orig_filename):
            raise _unfit(shown, "a relative path with forward slashes", "one that leaves its folder or has a backslash")
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _bad(shown, "a file", "a symbolic link")
        if info.flag_bits & 0x1:
            raise _unfit(shown, "an unencrypted file", "an encrypted one")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ReleaseError(
                shown,
                "a stored or deflated file",
                f"zip method {info.compress_type}" + (" (Deflate64)" if info.compress_type == 9 else ""),
                "Unpack it with 7-Zip or unzip, and give the unpacked folder.",
            )
        if info.file_size > MAX_RATIO * max(info.compress_size, 1):
            raise _bad(shown, f"at most {MAX_RATIO} times its stored size", f"{info.file_size} bytes unpacked")
    members = (info for info in archive.infolist() if not info.is_dir() and not _JUNK.search(info.filename))
    return sorted(members, key=lambda info: info.filename)


def _zip_blobs(path: str, name: str, spool: Path, section: tuple[int, int] | None = None) -> Iterator[Blob]:
    """The files in the zip at `path`, or in the zip at `section` (start, size) of it; zips inside it opened."""
    with Path(path).open("rb") as file:
        start, size = section or (0, os.fstat(file.fileno()).st_size)
        try:
            archive = zipfile.ZipFile(_Section(file, start, size))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, OverflowError, struct.error) as error:
            raise _bad(name, "a whole zip", f"a damaged one ({error})") from error
        for info in _checked_members(archive, name):
            shown = f"{name}/{info.filename}"
            if not info.filename.lower().endswith(".zip"):
                yield Blob(
                    name=shown,
                    path=path,
                    size=info.file_size,
                    offset=start + info.header_offset,
                    stored=info.compress_size,
                    method=info.compress_type,
                    crc=info.CRC,
                )
            elif section:
                raise _unfit(shown, "zips nested once", "a zip in a zip in a zip")
            elif info.compress_type == zipfile.ZIP_STORED:
                payload = _payload_start(file, info.header_offset, shown)
                yield from _zip_blobs(path, shown, spool, (payload, info.file_size))
            else:
                yield from _zip_blobs(_spool(archive, info, shown, spool), shown, spool, (0, info.file_size))


def _spool(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, spool: Path) -> str:
    """Unpack a deflated inner zip into `spool`, once: named for what it holds, whole or not at all."""
    target = spool / f"{hashlib.sha256(f'{name}|{info.CRC}|{info.file_size}'.encode()).hexdigest()[:32]}.zip"
    if target.is_file() and target.stat().st_size == info.file_size:
        return str(target)
    spool.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(spool).free
    if free < info.file_size + (64 << 20):
        raise ReleaseError(
            name,
            f"{info.file_size} bytes free in {spool} to unpack a compressed inner zip",
            f"{free} bytes",
            "Free disk space, or unpack the inner zips elsewhere and give that folder.",
        )
    logger.info("Unpacking %s (%d bytes) to %s", name, info.file_size, spool)
    part = tempfile.NamedTemporaryFile(dir=spool, suffix=".part", delete=False)  # noqa: SIM115 (renamed when whole)
    try:
        with part, archive.open(info) as source:
            shutil.copyfileobj(source, part, 1 << 20)
            part.flush()
            os.fsync(part.fileno())
        Path(part.name).replace(target)
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise _bad(name, "a whole zip", f"a damaged one ({error})") from error
    finally:
        Path(part.name).unlink(missing_ok=True)
    return str(target)


def _folder_blobs(root: Path, spool: Path, config: str | None) -> Iterator[Blob]:
    """Every file below `root`, the release's zips opened, in the order of names; a link that leaves `root` is refused.

    A zip that is a link is followed: what is in it is checked. With `config`, the other variant's zip is passed over.
    """
    home = root.resolve()

    def refuse(error: OSError) -> None:
        """A folder that cannot be looked into may hold a whole class: it is passed over only if nobody wants it."""
        if not _JUNK.search(f"{Path(error.filename).relative_to(root).as_posix()}/"):
            raise ReleaseError(
                str(error.filename),
                "a folder that can be looked into",
                error.strerror or repr(error),
                "Check its permissions, or move it elsewhere.",
            )

    for folder, folders, files in os.walk(root, onerror=refuse):
        if not os.access(folder, os.X_OK):  # it may be listed, and nothing of it opened
            folders.clear()
            refuse(PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder))
            continue
        folders.sort()
        for entry in sorted([*files, *(name for name in folders if (Path(folder) / name).is_symlink())]):
            path = Path(folder) / entry
            name = f"{root.name}/{path.relative_to(root).as_posix()}"
            if _JUNK.search(path.relative_to(root).as_posix()):
                continue
            if entry.lower().endswith(".zip") and path.is_file():
                others = [form for other, form in _VARIANTS.items() if config not in (None, other)]
                if _RELEASE_ZIP.search(entry) and not any(form.search(entry) for form in others):
                    yield from _zip_blobs(str(path), name, spool)
            elif path.is_symlink() and not _stays_inside(path, home):
                raise ReleaseError(
                    name, f"files inside {root}", "a symbolic link", "Copy what it points to, or give that folder."
                )
            elif not path.is_file():
                raise ReleaseError(name, f"files inside {root}", "a pipe, a socket or a device", "Remove it.")
            else:
                found = path.stat()
                yield Blob(name, str(path), found.st_size, stamp=(found.st_mtime_ns, found.st_ctime_ns))


def _stays_inside(link: Path, home: Path) -> bool:
    try:
        return link.is_file() and home in link.resolve().parents
    except (OSError, RuntimeError):  # a loop of links
        return False


# --- The release: which patches there are -------------------------------------------------------------------------

_SPLIT_FOLDER = re.compile(r"(train|test)([-_ ]?data.*)?(\.zip)?", re.IGNORECASE)
_CLASS_FOLDER = re.compile(r"(?:class_)?(0|1\+|2\+|3\+)")
_VARIANTS = {
    "patch_split": re.compile(r"patch-based|data_patch|her2-ihc-40x-patch", re.IGNORECASE),
    "wsi_split": re.compile(r"wsi-based|data_wsi|her2-ihc-40x-wsi", re.IGNORECASE),
}
_PATCH_NAME = re.compile(
    r"her2-(0|1\+|2\+|3\+)-score_(train|test)_([0-9]{1,6})\.(png|jpg|jpeg)", re.IGNORECASE | re.ASCII
)
_IMAGE_NAME = re.compile(r"\.(png|jpe?g)$", re.IGNORECASE)
_NO_SPLIT_NEEDED = re.compile(r"(^|/)(WSI|ROI|Patches)/", re.IGNORECASE)


@dataclass(frozen=True)
class ReleasePatch:
    """One patch of the release, as its path names it.

    Args:
        config: the variant that it is in, by the name of our config.
        split: the folder's side in that variant.
        label: the folder's class.
        score: the score of the slide, from the file name.
        side: the slide's side of the WSI split, from the file name, in both variants.
        number: extraction order within (score, side), with gaps.
        blob: where its bytes lie.
    """

    config: str
    split: str
    label: str
    score: str
    side: str
    number: int
    blob: Blob

    @property
    def file_name(self) -> str:
        """The file's own name, as in the release."""
        return self.blob.name.rsplit("/", 1)[-1]

    @property
    def stem(self) -> str:
        """The file's name without its suffix: unique within a variant."""
        return self.file_name.rsplit(".", 1)[0]


def parse_patch_name(name: str) -> tuple[str, str, int]:
    """The slide's score, the slide's side and the number that a patch's file name holds.

    Raises:
        ReleaseError: the name has another form.
    """
    match = _PATCH_NAME.fullmatch(name)
    if match is None:
        raise ReleaseError(
            name,
            "a name like her2-1+-score_train_0042.png",
            "one that fits no pattern",
            "Take the file out of the class folder, or give it the name that the release gave it.",
        )
    return match[1], match[2].lower(), int(match[3])


@dataclass(frozen=True)
class Release:
    """The patches of a release on disk, by config, in the order of (score, side, number).

    Args:
        root: the folder or zip that was opened.
        patches: config -> its patches; a config that is not there is left out.
    """

    root: Path
    patches: Mapping[str, Sequence[ReleasePatch]] = field(repr=False)

    def fingerprint(self, config: str) -> str:
        """A digest that changes when any file of the variant does: by CRC in zips, by size and times in folders."""
        digest = hashlib.sha256(f"{__version__}|{config}".encode())
        for patch in self.patches.get(config, ()):
            blob = patch.blob
            digest.update(
                f"|{patch.split}|{patch.label}|{patch.file_name}|{blob.size}|{blob.crc}|{blob.stamp}".encode()
            )
        return digest.hexdigest()[:32]

    def check_counts(self, config: str) -> None:
        """Compare the patches per class and split with the published ones.

        Raises:
            CountsError: they differ; it shows both tables.
        """
        found = Counter((patch.split, patch.label) for patch in self.patches.get(config, ()))
        expected = {(split, label): COUNTS[config][split][label] for split in SPLITS for label in CLASSES}
        if found != expected:
            raise CountsError(
                f"{self.root} ({config})",
                "the published patches per class",
                "others:\n" + _counts_table(expected, found),
                'Download what is missing, or opt out for a subset: verify="none" in Python, --subset for pack.',
            )


def _counts_table(expected: Mapping[tuple[str, str], int], found: Mapping[tuple[str, str], int]) -> str:
    rows = [f"{'split':<6}{'class':<6}{'expected':>9}{'found':>7}"]
    for (split, label), count in expected.items():
        here = found.get((split, label), 0)
        rows.append(f"{split:<6}{label:<6}{count:>9}{here:>7}{'' if here == count else '  <-'}")
    return "\n".join(rows) + "\n"


def open_release(
    root: str | os.PathLike[str], *, spool: Path | None = None, whole: bool = True, config: str | None = None
) -> Release:
    """List the patches of a release: the zips as downloaded, unpacked folders, or one of either.

    Args:
        root: the folder that holds the zips or what was in them, or a single zip.
        spool: where inner zips that are compressed are unpacked to; by default below the cache of `datasets`.
        whole: whether every split must have a folder for each class.
        config: the variant that is wanted; the other one's zip is then not opened. None for both.

    Raises:
        SourceError: there is nothing at `root`.
        ReleaseError: what is there is damaged, unsafe, or laid out in no known way.
    """
    if not os.fspath(root):
        raise SourceError("''", "a release folder or zip", "no path", "Give its path.")
    root = Path(os.path.abspath(root))  # noqa: PTH100 (a link in it is the user's, and stays)
    spool = spool or Path(datasets.config.HF_DATASETS_CACHE) / "her2-ihc-40x-spool"
    if root.is_dir():
        blobs = _folder_blobs(root, spool, config)
    elif root.is_file():
        blobs = _zip_blobs(str(root), root.name, spool)
    else:
        raise SourceError(str(root), "a release folder or zip", "nothing", "Check the path.")
    found: dict[tuple[str, str], dict[str, list[ReleasePatch]]] = defaultdict(lambda: defaultdict(list))
    for patch, origin in _sorted_out(blobs):
        found[patch.config, patch.split][origin].append(patch)
    if not found and config is not None:
        return open_release(root, spool=spool, whole=whole)  # to say what there is instead
    if not found:
        raise ReleaseError(
            str(root),
            "class folders (class_0, class_1+, class_2+, class_3+) below a train and a test folder or zip",
            "none",
            "Give the folder that holds her2-ihc-40x-patch.zip and her2-ihc-40x-wsi.zip.",
        )
    patches: dict[str, list[ReleasePatch]] = defaultdict(list)
    for (config, split), origins in sorted(found.items()):
        chosen = _choose_origin(config, split, origins)
        if whole and (missing := [name for name in CLASSES if all(patch.label != name for patch in chosen)]):
            raise ReleaseError(
                f"{root} ({config}, {split})",
                "a folder for each class",
                f"none, or an empty one, for {', '.join(missing)}",
                'Download it again, or opt out for a subset: verify="none" in Python, --subset for pack.',
            )
        patches[config] += chosen
    for config, members in patches.items():
        members.sort(key=lambda patch: (CLASSES.index(patch.score), patch.side, patch.number, patch.blob.name))
        _check_names(config, members)
    return Release(root, {config: tuple(patches[config]) for config in CONFIGS if config in patches})


def _sorted_out(blobs: Iterable[Blob]) -> Iterator[tuple[ReleasePatch, str]]:
    """The patches among the files, each with the train or test folder or zip that it comes from."""
    undecided: dict[str, list[ReleasePatch]] = defaultdict(list)
    strange: dict[str, list[Blob]] = defaultdict(list)
    real: set[str] = set()
    ignored = 0
    for blob in blobs:
        parts = blob.name.split("/")
        at = next((i for i in range(len(parts) - 2, -1, -1) if _SPLIT_FOLDER.fullmatch(parts[i])), None)
        if at is None or (len(parts) - at < 3 and not _IMAGE_NAME.search(blob.name)):
            # Not below a class folder of a split: a README, a slide, a region, or a folder that is not the release's.
            ignored += not _NO_SPLIT_NEEDED.search(blob.name)
            continue
        origin = "/".join(parts[: at + 1])
        match = _CLASS_FOLDER.fullmatch(parts[at + 1])
        if match is None or len(parts) - at != 3:
            strange[origin].append(blob)
            continue
        real.add(origin)
        score, side, number = _parse_at(blob)
        label = match[1]
        if CLASSES.index(label) < CLASSES.index(score):
            raise ReleaseError(
                blob.name,
                f"a class of at least {score}, the score of the slide in its name",
                f"class {label}",
                "Move the file to the folder that the release has it in.",
            )
        split = "train" if parts[at].lower().startswith("train") else "test"
        config = next(
            (name for part in reversed(parts[: at + 1]) for name, form in _VARIANTS.items() if form.search(part)), None
        )
        patch = ReleasePatch(config or "", split, label, score, side, number, blob)
        if config:
            yield patch, origin
        else:
            undecided["/".join(parts[:at])].append(patch)
    for origin, files in strange.items():
        if origin in real:
            raise ReleaseError(
                files[0].name,
                "class folders " + ", ".join(f"class_{name}" for name in CLASSES) + " and images in them",
                files[0].name.removeprefix(f"{origin}/"),
                "Take it out of the train or test folder.",
            )
        ignored += len(files)  # some other folder that is called train or test
    if ignored:
        logger.warning("Ignored %d files outside the train and test folders", ignored)
    for parent, members in undecided.items():
        # No folder says which variant it is. In the WSI variant a patch lies on the side that its name tells; in the
        # patch variant slides, and so names, are on both sides.
        config = "wsi_split" if all(patch.side == patch.split for patch in members) else "patch_split"
        logger.warning("%s names no variant; its file names fit %s", parent, config)
        for patch in members:
            told = ReleasePatch(config, patch.split, patch.label, patch.score, patch.side, patch.number, patch.blob)
            yield told, f"{parent}/{patch.split}"


def _parse_at(blob: Blob) -> tuple[str, str, int]:
    try:
        return parse_patch_name(blob.name.rsplit("/", 1)[-1])
    except ReleaseError as error:
        raise ReleaseError(blob.name, error.expected, error.found, error.remedy) from None


def _choose_origin(config: str, split: str, origins: Mapping[str, list[ReleasePatch]]) -> list[ReleasePatch]:
    """One source of a split: zips, which carry checksums, before what was unpacked from them."""
    zips = {name: name.lower().count(".zip") for name in origins}
    names = [name for name in origins if zips[name] == max(zips.values())]
    if len(names) > 1:
        raise ReleaseError(
            f"{config}, {split}", "one folder or zip", " and ".join(sorted(names)), "Move one of them elsewhere."
        )
    if len(origins) > 1:
        logger.warning("%s, %s: read from %s, not from the folder beside it", config, split, names[0])
    return origins[names[0]]


def _check_names(config: str, patches: Sequence[ReleasePatch]) -> None:
    seen: dict[tuple[str, str, int], ReleasePatch] = {}
    for patch in patches:
        first = seen.setdefault((patch.score, patch.side, patch.number), patch)
        if first is not patch:
            raise ReleaseError(
                patch.blob.name,
                "a name used once in a variant",
                f"it again at {first.blob.name}",
                "Remove one.",
            )
    if config == "wsi_split" and (odd := sum(patch.side != patch.split for patch in patches)):
        logger.warning("wsi_split: %d patches lie on another side than their names tell", odd)


def blocks(patches: Sequence[ReleasePatch]) -> list[tuple[str, tuple[ReleasePatch, ...]]]:
    """Cut patches into named blocks of `BLOCK_SIZE` of one (score, side), mixed by a hash of their names.

    A block is not a slide: neighbouring blocks may share one. The hash keeps a prefix of the list from being of a
    single class.
    """
    groups: dict[tuple[str, str], list[ReleasePatch]] = defaultdict(list)
    for patch in patches:
        groups[patch.score, patch.side].append(patch)
    named = [
        (f"{score}-{side}-{start // BLOCK_SIZE:03d}", tuple(members[start : start + BLOCK_SIZE]))
        for (score, side), members in groups.items()
        for start in range(0, len(members), BLOCK_SIZE)
    ]
    return sorted(named, key=lambda item: hashlib.sha256(item[0].encode()).hexdigest())


# --- The builder --------------------------------------------------------------------------------------------------


#: What Pillow raises on a file that is damaged or hostile.
IMAGE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    IndexError,
    TypeError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def check_image(data: bytes, name: str, size: int | None) -> Image.Image:
    """Open an image by its header alone, before a pixel is decoded.

    Args:
        data: the file's bytes: PNG or JPEG, whatever its name says.
        name: the path to show in an error.
        size: the width and height it must have in pixels; None for any up to 8192.

    Raises:
        ReleaseError: another format or size, or not an image at all.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except UnidentifiedImageError as error:  # its text is an address in memory
        raise _bad(name, "a PNG or JPEG image", f"{len(data)} bytes of something else") from error
    except IMAGE_ERRORS as error:
        raise _bad(name, "a PNG or JPEG image", f"{len(data)} bytes of something else ({error})") from error
    if image.format not in ("PNG", "JPEG"):  # Pillow opens a JPEG with further pictures behind it as MPO
        raise _bad(name, "a PNG or JPEG image", f"one of several pictures ({image.format})")
    fits = image.size == (size, size) if size else max(image.size) <= 8192
    if not fits:
        raise ReleaseError(
            name,
            f"{size} x {size} pixels" if size else "at most 8192 pixels a side",
            f"{image.width} x {image.height}",
            "Check the file, or give the size that this release has (image_size= in Python, --image-size for pack).",
        )
    return image


def release_row(patch: ReleasePatch, data: bytes) -> dict[str, Any]:
    """The columns of a patch of the release; its image bytes as they are."""
    row: dict[str, Any] = dict.fromkeys(FEATURES)
    row.update(
        image={"bytes": data, "path": patch.file_name},
        label=CLASSES.index(patch.label),
        label_source="release",
        slide_score=CLASSES.index(patch.score),
        slide_side=patch.side,
        patch_id=patch.stem,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return row


class Her2Ihc40x(datasets.GeneratorBasedBuilder):  # type: ignore[misc]  # datasets ships no types
    """A `datasets` builder over the release as downloaded: configs `wsi_split` (default) and `patch_split`.

    Args:
        data_dir: the release, as `open_release` takes it.
        verify: "counts" compares the patches per class and split with the published ones; "none" takes a subset.
        image_size: the width and height of every patch in pixels; None for any.
        arguments: of `datasets.DatasetBuilder`, by name: config_name, cache_dir, ...

    Raises:
        SourceError, ReleaseError, CountsError: at once, before anything is written.
    """

    VERSION = datasets.Version("1.0.0")
    BUILDER_CONFIGS = [  # noqa: RUF012 (datasets' own interface)
        datasets.BuilderConfig(name=name, version=datasets.Version("1.0.0"), description=text)
        for name, text in CONFIGS.items()
    ]
    DEFAULT_CONFIG_NAME = "wsi_split"
    # Images are large: Arrow batches of the default 1000 rows would hold 2 GB.
    DEFAULT_WRITER_BATCH_SIZE = 100

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str],
        config_name: str = DEFAULT_CONFIG_NAME,
        verify: Literal["counts", "none"] = "counts",
        image_size: int | None = 1024,
        **arguments: Any,
    ) -> None:
        _check_choice("config", config_name, CONFIGS)
        _check_choice("verify", verify, ("counts", "none"))
        release = open_release(data_dir, whole=verify == "counts", config=config_name)
        if config_name not in release.patches:
            raise SourceError(
                str(data_dir), f"the {config_name} variant", ", ".join(release.patches), "Download its zip as well."
            )
        if verify == "counts":
            release.check_counts(config_name)
        self.release = release
        self.image_size = image_size
        # `datasets` caches by name and hash alone: without this, a changed release would come from the old cache.
        fingerprint = hashlib.sha256(f"{release.fingerprint(config_name)}|{image_size}".encode()).hexdigest()[:32]
        super().__init__(config_name=config_name, hash=fingerprint, **arguments)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(
            description=self.config.description,
            features=FEATURES,
            homepage=f"https://doi.org/{DOI}",
            citation=CITATION,
        )

    def _prepare_split_single(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        try:
            yield from super()._prepare_split_single(*arguments, **options)
        except datasets.exceptions.DatasetGenerationError as error:
            # What is wrong is in its cause, which would be lost on the way from a worker.
            if isinstance(error.__cause__, Her2Error):
                raise error.__cause__ from None
            raise

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        patches = self.release.patches[self.config.name]
        sides = {split: blocks([patch for patch in patches if patch.split == split]) for split in SPLITS}
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"members": [members for _, members in named]})
            for split, named in sides.items()
            if named
        ]

    def _generate_examples(self, members: list[tuple[ReleasePatch, ...]]) -> Iterator[tuple[str, dict[str, Any]]]:
        for block in members:
            for patch in block:
                data = patch.blob.read()
                check_image(data, patch.blob.name, self.image_size)
                yield patch.stem, release_row(patch, data)


# --- Loading ------------------------------------------------------------------------------------------------------

#: Named in the manifest of every folder of shards that this project writes.
MANIFEST_FORMAT = "her2-ihc-40x shards"
MANIFEST_VERSION = 1
#: Parsed it may take twenty times as much memory; one of ten thousand slides would fit.
MAX_MANIFEST_BYTES = 32 << 20
DEFAULT_FOLDER = "her2-ihc-40x"
ENVIRONMENT_VARIABLE = "HER2_IHC_40X"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


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
) -> Any:
    """Load HER2-IHC-40x from a release, from a folder of shards, or from the Hub.

    Args:
        config: "wsi_split" or "patch_split".
        source: a release as downloaded, a folder of shards, or a Hub id; by default `./her2-ihc-40x` if it is a folder
            of shards, else what the environment variable HER2_IHC_40X names.
        split: "train", "test", None for all, or (not streaming) a slice such as "train[:10%]".
        streaming: read as you go, without a copy on disk.
        revision: of a Hub id: a tag such as "v1.0.0". Give one, or any new commit makes a new copy.
        token: of a private Hub id; by default the one you are logged in with.
        verify: "counts" checks a release against the published counts, and shards against their manifest, which
            streaming alone never does; "none" takes what is there.
        load_dataset_kwargs: passed to `datasets.load_dataset`, or for a release to the builder's methods.

    Returns:
        What `datasets.load_dataset` returns: a Dataset or IterableDataset, or a dict of them by split.

    Raises:
        SourceError: there is no data where it looked.
        ReleaseError, CountsError: the data is damaged or incomplete.
        ValueError: an argument that does not fit.
    """
    _check_choice("config", config, CONFIGS)
    _check_choice("verify", verify, ("counts", "none"))
    place = _default_source() if source is None else os.fspath(source)
    local = Path(place).expanduser()
    if not local.exists():
        if not _HUB_ID.fullmatch(place):
            raise SourceError(place, "a release, a folder of shards or a Hub id", "nothing there", "Check the path.")
        if verify == "counts":
            revision = _check_hub(place, config, revision, token)
        return datasets.load_dataset(
            place, config, split=split, streaming=streaming, revision=revision, token=token, **load_dataset_kwargs
        )
    if revision is not None:
        raise ValueError(f"revision={revision!r} is for a Hub id; {place} is on this disk")
    manifest = _read_manifest(local)
    if manifest is None:
        return _load_release(local, config, split, streaming, verify, load_dataset_kwargs)
    if verify == "counts":
        _check_shards(local, config, manifest)
    # An absolute path: a bare name could be taken for a Hub id, or be shadowed by a code folder.
    home = str(local.resolve())
    try:
        return datasets.load_dataset(home, config, split=split, streaming=streaming, **load_dataset_kwargs)
    except Exception as error:
        if not isinstance(error, _DAMAGE) and _is_card_as_listed(local, manifest):
            raise  # of an argument that does not fit: what a damaged card makes `datasets` raise is without bounds
        cause = error.__cause__ or error
        found = next(iter(str(cause).splitlines()), "")[:300] or type(cause).__name__
        remedy = "Run her2-ihc-40x verify, and make or copy the folder again."
        raise ReleaseError(str(local), "a card and shards that load", found, remedy) from error


#: What a folder whose files are damaged makes `datasets` raise.
_DAMAGE = (
    datasets.exceptions.DatasetsError,
    pa.ArrowException,
    yaml.YAMLError,
)


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")


def _default_source() -> str:
    folder = Path(DEFAULT_FOLDER)
    if _read_manifest(folder) is not None:
        return str(folder)
    if named := os.environ.get(ENVIRONMENT_VARIABLE):
        return named
    raise SourceError(
        f"./{DEFAULT_FOLDER}",
        f"a folder of shards there, or a path in the environment variable {ENVIRONMENT_VARIABLE}",
        "neither",
        f"Give source=: a release folder, a folder made by `her2-ihc-40x pack`, or a Hub id. "
        f"The release is at https://doi.org/{DOI}.",
    )


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a folder of our shards; None if the folder is not one."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise ValueError(f"more than {MAX_MANIFEST_BYTES} bytes")
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ReleaseError(str(path), "JSON", f"something else ({error})", "Make the folder again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != MANIFEST_FORMAT:
        return None
    if manifest.get("format_version") != MANIFEST_VERSION:
        found = f"version {manifest.get('format_version')}"
        raise ReleaseError(str(path), f"version {MANIFEST_VERSION} of its format", found, "Upgrade her2-ihc-40x.")
    return manifest


#: The files that a config reads for a split, as the card's globs; {} is the split.
GLOBS = {"wsi_split": "data/wsi_{}/*/*.parquet", "patch_split": "data/*/patch_{}/*.parquet"}
_FILES_OF = {
    config: re.compile(re.escape(glob).replace(r"\*", "[^/]+").replace(r"\{\}", f"({'|'.join(SPLITS)})"))
    for config, glob in GLOBS.items()
}


_MAX_PATH = 250


def _is_card_as_listed(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Whether README.md has the hash that the manifest gives it."""
    try:
        listed = {entry["path"]: entry["sha256"] for entry in manifest["companions"]}
        return bool(listed["README.md"] == hashlib.sha256((folder / "README.md").read_bytes()).hexdigest())
    except (OSError, KeyError, TypeError):
        return False


def _refuse_strangers(place: str, config: str, names: Iterable[str], known: Iterable[str]) -> None:
    """A file that no manifest lists would be read all the same: the globs find it."""
    if strangers := sorted({name for name in names if _FILES_OF[config].fullmatch(name)} - set(known)):
        found = f"{len(strangers)} more, the first of them {strangers[0]}"
        raise CountsError(place, "the files of its manifest", found, 'Remove them, or opt out with verify="none".')


def _config_files(config: str, manifest: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Path and bytes of each file that a config reads, as the manifest lists them."""
    try:
        entries = [(str(entry["path"]), int(entry["bytes"])) for entry in manifest["files"]]
        if any(len(name) > _MAX_PATH or not name.isprintable() for name, _ in entries):
            raise ValueError("a path that no file has")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ReleaseError("manifest.json", "a list of files", f"{error!r}", "Make the folder again.") from error
    return [entry for entry in entries if _FILES_OF[config].fullmatch(entry[0])]


def _check_shards(folder: Path, config: str, manifest: Mapping[str, Any]) -> None:
    """Whether every file of a config is there with its size: streaming would make a missing one a short split."""
    entries = _config_files(config, manifest)
    if not entries:
        raise SourceError(str(folder), f"files of {config}", "none in its manifest", "Pack both variants.")
    there = (path.relative_to(folder).as_posix() for path in folder.glob("data/*/*/*.parquet"))
    _refuse_strangers(str(folder), config, there, (name for name, _ in entries))
    for name, size in entries:
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            raise CountsError(
                str(path),
                f"{size} bytes",
                "no file" if found is None else f"{found} bytes",
                'Make or copy the folder again, or opt out with verify="none".',
            )


def _check_hub(repo: str, config: str, revision: str | None, token: str | bool | None) -> str | None:
    """The commit of a Hub revision, once every file that its manifest lists for a config is found in it."""
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, OfflineModeIsEnabled

    try:
        info = HfApi(token=token).dataset_info(repo, revision=revision)
    except OfflineModeIsEnabled:
        logger.warning("Offline: %s is loaded from the cache, unchecked", repo)
        return revision
    commit = str(info.sha)
    try:
        path = hf_hub_download(repo, "manifest.json", repo_type="dataset", revision=commit, token=token)
    except EntryNotFoundError:
        path = os.devnull
    manifest = _read_manifest(Path(path).parent)
    if manifest is None:
        raise SourceError(repo, "a manifest.json of ours", "none", 'Check the id, or opt out with verify="none".')
    present = {sibling.rfilename for sibling in info.siblings or ()}
    entries = _config_files(config, manifest)
    _refuse_strangers(f"{repo}@{commit}", config, present, (name for name, _ in entries))
    if missing := [name for name, _ in entries if name not in present]:
        raise CountsError(
            f"{repo}@{commit}", "every file of its manifest", f"{len(missing)} missing", "Ask its maintainer."
        )
    return commit


def _load_release(
    root: Path,
    config: str,
    split: str | None,
    streaming: bool,
    verify: Literal["counts", "none"],
    kwargs: dict[str, Any],
) -> Any:
    """Drive the builder as `datasets.load_dataset` would."""
    prepare = {name: kwargs.pop(name) for name in ("num_proc", "download_mode", "verification_mode") if name in kwargs}
    in_memory = kwargs.pop("keep_in_memory", None)
    builder = Her2Ihc40x(data_dir=root, config_name=config, verify=verify, **kwargs)
    if streaming:
        return builder.as_streaming_dataset(split=split)
    builder.download_and_prepare(**prepare)
    return builder.as_dataset(split=split, in_memory=bool(in_memory))
