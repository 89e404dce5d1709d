"""What this tool made in a folder. Only a folder that holds nothing else may be replaced: all in it is removed."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from her2_ihc_40x import ReleaseError

from ..places import walk
from .manifest import FILE_NAME, read_manifest

#: Whether a file, by its path from a folder's root with "/", is one that this tool made there.
Made = Callable[[str], bool]
#: Looks at a folder: None if this tool did not make it.
MadeIn = Callable[[Path], Made | None]

#: Files that a data set may hold beside its shards and its manifest.
COMPANION = re.compile(r"README\.md|croissant\.json|figures/[A-Za-z0-9+_-][A-Za-z0-9+_.-]*\.(png|svg)")
#: What the Hub, git and a download put beside a data set; it is not of it.
TOOLS = re.compile(r"\.gitattributes|\.git/.*|\.cache/huggingface/.*")
# Of these, what can be had again: a repository holds a history that nobody else may have.
_DOWNLOAD = re.compile(r"\.gitattributes|\.cache/huggingface/.*")
# What a `card` that was cut short may leave beside what the manifest lists.
_CARD = re.compile(
    r"figures/(classes|slides|dab|patches-[0-9a-z]+)\.png"
    r"|\.(README\.md|croissant\.json|manifest\.json)\.(partial|old)"
    r"|figures/\.(classes|slides|dab|patches-[0-9a-z]+)\.png\.(partial|old)"
)
# What file managers leave in every folder that somebody looks at.
_LITTER = re.compile(r"(.*/)?(\.DS_Store|Thumbs\.db|desktop\.ini)", re.DOTALL)
_PICTURE = re.compile(r'<img src="([0-9]+\.png)"')
PAGE = "index.html"


def _raise(place: Path, why: str) -> None:
    raise PermissionError(errno.EACCES, why, str(place))


def entries(folder: Path, closed: Callable[[Path, str], None] = _raise) -> Iterator[str]:
    """Every file below a folder, and every link, which is not followed, as paths from it with "/".

    Args:
        folder: its root.
        closed: is told of a folder whose entries cannot be had, and why; else that is an OSError.
    """
    for place, folders, names in walk(folder, closed):
        links = [name for name in folders if (place / name).is_symlink()]
        for name in sorted([*names, *links]):
            yield (place / name).relative_to(folder).as_posix()


def strangers(folder: Path, made: Made) -> list[str]:
    """What somebody else put into a folder that this tool made; a folder of nothing else goes by its name.

    Raises:
        OSError: a folder in it cannot be listed.
    """
    shared, others = set(), []
    for path in entries(folder):
        if made(path):
            shared.add(_top(path))
        elif not _LITTER.fullmatch(path):
            others.append(path)
    return sorted({path if _top(path) in {path, *shared} else f"{_top(path)}/" for path in others})


def _top(path: str) -> str:
    return path.partition("/")[0]


def made_data_set(folder: Path) -> Made | None:
    """Of a data set: what its manifest lists, what a `card` that was cut short leaves, and traces of a download."""
    try:
        manifest = read_manifest(folder)
    except ReleaseError:
        return None
    listed = {FILE_NAME} | {shard.path for shard in manifest.shards} | {one.path for one in manifest.companions}
    return lambda path: path in listed or bool(_CARD.fullmatch(path) or _DOWNLOAD.fullmatch(path))


def made_page(folder: Path, title: str, *beside: str) -> Made | None:
    """Of a folder with a page of pictures: the page, those that it shows, and the files beside them.

    Args:
        folder: the folder.
        title: the HTML element by which the page is known.
        beside: names of the other files.
    """
    page = folder / PAGE
    if not page.is_file() or title not in (text := page.read_text(encoding="utf-8", errors="replace"))[:500]:
        return None
    listed = {PAGE, *beside, *_PICTURE.findall(text)}
    return lambda path: path in listed
