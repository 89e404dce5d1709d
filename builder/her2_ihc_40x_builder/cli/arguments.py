"""Arguments that commands share, and how their text is read."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionError
from ..parallel import default_workers

if TYPE_CHECKING:
    from ..parameters import BuildInputs, BuildParameters
    from ..patches.encode import Encoding, ImageFormat


def positive(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number of at least 1")
    return value


def path(text: str) -> Path:
    """A path; `~` is the home folder also where a shell left it."""
    return Path(text).expanduser()


def folder(text: str) -> Path:
    """A folder to make, or to make anew; it has a name, since it appears beside its place first."""
    place = path(text)
    if place.name in ("", ".."):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a folder's name, such as her2-ihc-40x")
    return place


def add_workers(parser: argparse.ArgumentParser) -> None:
    """`--workers`."""
    parser.add_argument("--workers", type=positive, default=default_workers(), help="cores to use (%(default)s)")


def add_license(parser: argparse.ArgumentParser, otherwise: str = "source.json's, or unknown") -> None:
    """`--license`."""
    parser.add_argument(
        "--license",
        type=_licence,
        dest="licence",
        metavar="ID",
        help=f"the data's licence, as an id of the Hub; else {otherwise}",
    )


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """What `build` and `plan` are told of inputs and parameters."""
    parser.add_argument("slides", type=path, help="the folder of slides; folders 0, 1+, 2+, 3+ in it name their class")
    parser.add_argument("--regions", type=path, required=True, help="crops, masks or annotations: a file or folder")
    parser.add_argument("--labels", type=path, help="a CSV of slide_id, label[, case_id][, mpp]")
    parser.add_argument("--splits", type=path, help="a CSV of slide_id, wsi_split and/or patch_id, patch_split")
    parser.add_argument("--previous", type=path, help="an earlier data set, whose sides and hue references stay")

    regions = parser.add_argument_group("regions")
    regions.add_argument("--include-class", action="append", default=[], metavar="NAME", help="regions to tile as well")
    regions.add_argument("--exclude-class", action="append", default=[], metavar="NAME", help="regions to subtract")
    regions.add_argument(
        "--label-map", action="append", default=[], metavar="NAME=CLASS", help="another spelling of a class"
    )
    regions.add_argument("--invert-y", action="store_true", help="the export counts y from the other edge")
    regions.add_argument("--min-region-overlap", type=float, default=0.5, help="share of a window (%(default)s)")

    patches = parser.add_argument_group("patches")
    patches.add_argument("--patch-size", type=positive, default=1024, help="pixels a side (%(default)s)")
    patches.add_argument("--stride", type=positive, help="a plain grid of so many pixels, not adaptive windows")
    patches.add_argument("--min-tissue", type=float, default=0.1, help="share of a window (%(default)s)")
    patches.add_argument(
        "--hue-filter",
        choices=["drop", "report", "authors", "off"],
        default="drop",
        help="drop untypical patches where that is safe, only measure, as the authors did, or not at all (%(default)s)",
    )
    patches.add_argument("--hue-threshold", type=float, default=0.7, help="a patch is kept above it (%(default)s)")
    patches.add_argument(
        "--intensity",
        choices=["background", "none", "reinhard", "macenko"],
        default="background",
        help="scale glass to 240, leave as scanned, or normalise the stain (%(default)s)",
    )
    patches.add_argument("--accept-stain-loss", action="store_true", help="reinhard, macenko: they change the signal")
    patches.add_argument("--stain-reference", type=path, metavar="IMAGE", help="reinhard, macenko: the colours to give")
    patches.add_argument("--white", type=_white, metavar="R,G,B", help="the glass of every slide, if it is known")
    patches.add_argument(
        "--mpp", type=float, help="micrometres a level-0 pixel, where the files do not say or are wrong"
    )
    patches.add_argument("--resample", action="store_true", help="resample slides finer than 40x down to it")
    patches.add_argument("--image-format", choices=["png", "jpeg", "webp"], default="png", help="(%(default)s)")
    patches.add_argument("--quality", type=positive, help="of JPEG (95)")

    splits = parser.add_argument_group("splits")
    splits.add_argument("--test-fraction", type=float, default=0.2, help="(%(default)s)")
    splits.add_argument("--seed", type=int, default=0, help="of everything that is drawn (%(default)s)")
    splits.add_argument(
        "--patch-split",
        choices=["overlap", "authors"],
        default="overlap",
        help="patch_split: windows that share a pixel on one side, or patch by patch (%(default)s)",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """What `build` is told of its output; `plan` takes it too, so that one line serves both."""
    parser.add_argument("--out", type=folder, default=Path("her2-ihc-40x"), help="the folder to make (%(default)s)")
    parser.add_argument("--report", type=folder, help="the report's folder, not to be published (OUT-report)")
    parser.add_argument("--report-dropped", action="store_true", help="list each dropped window and why")
    parser.add_argument(
        "--pseudonymize",
        type=path,
        metavar="KEYFILE",
        help="give slides, cases and regions pseudonyms by the key in a file; `build` makes it if there is none, and "
        "keeps the names in KEYFILE.names.json; `plan` shows all names as they are",
    )
    add_license(parser)
    add_workers(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a data set that was built otherwise")


def build_arguments(arguments: argparse.Namespace) -> tuple[BuildInputs, BuildParameters]:
    """Inputs and parameters as the command line gives them."""
    from ..parameters import BuildInputs, BuildParameters
    from ..patches.white import White
    from ..regions import ClassRules
    from ..slides.labels import parse_label_map

    label_map = parse_label_map(arguments.label_map)
    inputs = BuildInputs(
        slides=arguments.slides,
        regions=arguments.regions,
        labels=arguments.labels,
        splits=arguments.splits,
        previous=arguments.previous,
        rules=ClassRules(frozenset(arguments.include_class), frozenset(arguments.exclude_class), label_map),
        label_map=label_map,
        invert_y=arguments.invert_y,
    )
    parameters = BuildParameters(
        patch_size=arguments.patch_size,
        stride=arguments.stride,
        min_region_overlap=arguments.min_region_overlap,
        min_tissue=arguments.min_tissue,
        hue_filter=arguments.hue_filter,
        hue_threshold=arguments.hue_threshold,
        intensity=arguments.intensity,
        accept_stain_loss=arguments.accept_stain_loss,
        stain_reference=arguments.stain_reference,
        white=White(*arguments.white) if arguments.white else None,
        mpp=arguments.mpp,
        resample=arguments.resample,
        test_fraction=arguments.test_fraction,
        seed=arguments.seed,
        patch_split=arguments.patch_split,
        encoding=_encoding(arguments.image_format, arguments.quality),
    )
    return inputs, parameters


def _encoding(image_format: ImageFormat, quality: int | None) -> Encoding:
    from ..patches.encode import Encoding

    if quality is None:
        return Encoding(image_format)
    if image_format != "jpeg":
        raise OptionError("--quality", "--image-format jpeg beside it", image_format, "The others lose nothing.")
    return Encoding(image_format, quality)


def _licence(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,99}", text):
        raise argparse.ArgumentTypeError(f"{text[:100]!r}: expected an id of the Hub, such as cc-by-4.0 or other")
    return text


def _white(text: str) -> tuple[float, float, float]:
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: expected three levels, R,G,B") from None
    return red, green, blue
