"""Checks of single patches: counts, scores, rows, image files, and what is in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from her2_ihc_40x import CLASSES, COUNTS

from .findings import Finding, Subject, patches_found
from .prints import Print

#: What stands behind a patch's id in the name of its image file, whatever the case.
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
#: A patch with less tissue than a build keeps by default.
_MOSTLY_GLASS = 0.9


def check_counts(subject: Subject) -> Iterator[Finding]:
    """Patches per class and side against the published table: of a release only."""
    if subject.regenerated:
        return
    published = COUNTS[subject.config]
    found = Counter((subject.side(patch), patch.label) for patch in subject.prints)
    wrong = [
        f"{side} {label}: {found[side, label]:,}, published {count:,}"
        for side, labels in published.items()
        for label, count in labels.items()
        if found[side, label] != count
    ]
    subset = bool(subject.manifest.parameters.get("subset"))
    yield Finding(
        subject.config,
        "counts",
        "Patches per class and side are those that are published.",
        len(wrong),
        sum(map(len, published.values())),
        unit="classes of a side",
        binding=not subset,
        note="; ".join((["packed as a subset"] if subset and wrong else []) + wrong),
    )


def check_scores(subject: Subject) -> Iterator[Finding]:
    """Labels against the slide's score: equal if the label is the slide's, and in a release never below it."""
    scored = [patch for patch in subject.prints if patch.slide_score is not None]
    other = [patch for patch in scored if patch.label != patch.slide_score]
    wrong = [
        patch
        for patch in other
        if patch.label_source == "slide"
        or (patch.label_source == "release" and _rank(patch.label) < _rank(patch.slide_score or patch.label))
    ]
    yield patches_found(
        subject,
        "scores",
        "A label taken from the slide is its score; a release's label is never below it.",
        wrong,
        unknown=None if scored or not subject.prints else "no patch has slide_score",
        note=f"{len(other):,} patches have another label than their slide" if other else "",
    )


def check_files(subject: Subject) -> Iterator[Finding]:
    """Image files: readable, of the size, mode and format of the data set, with the bytes that the row states."""
    unreadable = [patch for patch in subject.prints if patch.image.fault is not None]
    faults = Counter(patch.image.fault for patch in unreadable)
    yield patches_found(subject, "readable", "Every image decodes.", unreadable, note=_tally(faults))
    readable = [patch for patch in subject.prints if patch.image.fault is None]
    parameters = subject.manifest.parameters
    size = parameters.get("patch_size" if subject.regenerated else "image_size")
    odd = [patch for patch in readable if size and (patch.image.width, patch.image.height) != (size, size)]
    sizes = Counter(f"{patch.image.width} x {patch.image.height}" for patch in readable)
    yield patches_found(
        subject,
        "size",
        f"Every patch is {size} x {size} pixels." if size else "Every patch has the size that was asked for.",
        odd,
        unknown=None if size else "no size was asked for",
        note=_tally(sizes) if len(sizes) > 1 else "",
    )
    kind = str(parameters.get("image_format") or "").upper()
    forms = Counter(f"{patch.image.format} {patch.image.mode}" for patch in readable)
    yield patches_found(
        subject,
        "format",
        f"Every image is {kind or 'PNG or JPEG'}, RGB, 8 bits.",
        [p for p in readable if p.image.mode != "RGB" or p.image.format not in ((kind,) if kind else ("PNG", "JPEG"))],
        binding=subject.regenerated,
        note=_tally(forms) if len(forms) > 1 else "",
    )
    yield patches_found(
        subject,
        "sha256",
        "The column sha256 is that of the image.",
        [patch for patch in subject.prints if patch.stated_sha256 != patch.sha256],
    )


def check_rows(subject: Subject) -> Iterator[Finding]:
    """Rows: an id for each patch, and values that can be."""
    counts = Counter(patch.patch_id for patch in subject.prints)
    yield patches_found(
        subject,
        "patch_ids",
        "No two patches have one patch_id.",
        [patch for patch in subject.prints if counts[patch.patch_id] > 1],
    )
    wrong = [patch for patch in subject.prints if patch.impossible]
    yield patches_found(
        subject,
        "values",
        "A label is a class from a region, slide or release; where known, a slide's score is one, tissue is from 0 to "
        "1, hue similarity from -1 to 1, mpp above 0 and below 1, x and y from 0.",
        wrong,
        note=_tally(Counter(column for patch in wrong for column in patch.impossible)),
    )


def check_metadata(subject: Subject) -> Iterator[Finding]:
    """Metadata of the images, in their files and beside them, which may tell of a patient, a place or a person."""
    private = [patch for patch in subject.prints if set(patch.image.embedded) - {"ICC"}]
    kinds = Counter(kind for patch in private for kind in patch.image.embedded if kind != "ICC")
    yield patches_found(
        subject,
        "metadata",
        "No image holds EXIF, GPS, XMP, text, comments or anything else beside its pixels.",
        private,
        note=_tally(kinds),
    )
    profiles = [patch for patch in subject.prints if "ICC" in patch.image.embedded]
    yield patches_found(
        subject, "icc", "No image holds a colour profile, which may name a scanner.", profiles, binding=False
    )
    named = [patch for patch in subject.prints if patch.stored_as is not None and not _is_own_name(patch)]
    yield patches_found(subject, "image_path", "No image has another file name than its patch's id.", named)


def _is_own_name(patch: Print) -> bool:
    """Whether an image's file name tells no more than the patch's id: no folder, and no name of anything else."""
    stem, dot, suffix = (patch.stored_as or "").rpartition(".")
    named = stem in (patch.patch_id, patch.name)
    return named and not {"/", "\\"} & set(stem) and (dot + suffix).lower() in _SUFFIXES


def check_content(subject: Subject) -> Iterator[Finding]:
    """Patches of nothing: one colour, nothing to be seen, or mostly glass."""
    for look, promise in (("constant", "No patch is of one colour."), ("blank", "In every patch something is seen.")):
        found = [patch for patch in subject.prints if patch.look == look]
        yield patches_found(subject, look, promise, found, binding=subject.regenerated)
    least = subject.manifest.parameters.get("min_tissue")
    known = [patch for patch in subject.prints if patch.tissue is not None]
    rest = list(subject.prints)
    if known and isinstance(least, int | float) and 0 <= least <= 1:
        poor = [patch for patch in known if patch.tissue is not None and not patch.tissue >= least]
        rest = [patch for patch in subject.prints if patch.tissue is None]
        partly = f"tissue_fraction is known of {len(known):,} of {len(subject.prints):,} patches" if rest else ""
        yield patches_found(subject, "tissue", f"Every patch has at least {least:.0%} of tissue.", poor, note=partly)
    if rest:
        yield patches_found(
            subject,
            "glass",
            f"No patch is glass for more than {_MOSTLY_GLASS:.0%}.",
            [patch for patch in rest if patch.glass > _MOSTLY_GLASS and not patch.look],
            binding=False,
            note="by each patch's own brightest colour: the white point is not known",
        )


def _rank(label: str) -> int:
    """The place of a class; what is none is below all."""
    return CLASSES.index(label) if label in CLASSES else -1


def _tally(counts: Counter[str] | Counter[str | None]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in counts.most_common(6))
