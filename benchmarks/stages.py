"""Where a build's time goes: `python benchmarks/stages.py [OPTIONS OF BUILD]` prints processor seconds, stage by stage.

One worker, one thread, in this process, on the slide of build.py; what is below another is a part of it. Processor time
is what counts here: it hardly depends on what else the machine does.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from mosaic import write_mosaic, write_regions

from her2_ihc_40x_builder import build, cli, report
from her2_ihc_40x_builder.patches import references, survey

SIDE = 16384
#: What it is, module, function, depth.
STAGES = (
    ("plan: heads, regions, windows", "plan", "plan_build", 0),
    ("white point", "survey", "survey_slides", 0),
    ("hue references", "hue_decision", "decide_hue", 0),
    ("cut", "cut", "cut_slide", 0),
    ("read windows", "tiles", "_read_fast", 1),
    ("decode JPEG tiles (the limit)", "tiles", "decode", 2),
    ("tissue", "tissue", "tissue_fraction", 1),
    ("DAB density", "dab", "dab_density", 1),
    ("hue", "hue", "hue_histogram", 1),
    ("intensity", "intensity", "apply", 1),
    ("encode (the limit)", "encode", "encode", 1),
    ("sha256 of patches", "~", "<built-in method _hashlib.openssl_sha256>", 1),
    ("write Parquet", "files", "write", 1),
    ("sha256 of shards", "~", "<method 'update' of '_hashlib.HASH' objects>", 2),
    ("card, figures, croissant.json", "companions", "write_companions", 0),
    ("report and overlay", "report", "write_report", 0),
)


def main(options: list[str]) -> None:
    """Profile one build, and print the stages as a Markdown table."""
    imports = time.process_time()
    for user in (build, references, survey):
        vars(user)["run_tasks"] = _run_here
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        slide = folder / "WSI" / "3+" / "mosaic.svs"
        slide.parent.mkdir(parents=True)
        write_mosaic(slide, SIDE)
        write_regions(folder / "regions", SIDE)
        arguments = ["build", str(folder / "WSI"), "--regions", str(folder / "regions" / "all"), "--workers", "1"]
        arguments += ["--out", str(folder / "out"), "--stride", "1024", *options]
        with redirect_stdout(sys.stderr):
            code = profile.runcall(cli.main, arguments)
    if code:
        sys.exit(code)
    total, times = _times(profile)
    print("| stage | processor seconds |\n| --- | ---: |")
    print(f"| Python, and the imports of {build.__name__} and {report.__name__} | {imports:.2f} |")
    for name, module, function, depth in STAGES:
        if (module, function) in times:
            print(f"| {'&emsp;' * depth}{name} | {times[module, function]:.2f} |")
    print(f"| all but the imports | {total:.2f} |")


def _run_here(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    *,
    done: Callable[[Any, Any], None] = lambda *_: None,
    **_others: Any,
) -> list[Any]:
    """What `run_tasks` does, without processes and threads, which a profile does not see."""
    results = []
    for task in tasks:
        results.append(function(task))
        done(task, results[-1])
    return results


def _times(profile: cProfile.Profile) -> tuple[float, dict[tuple[str, str], float]]:
    """The total, and (module, function) -> seconds with all that it calls; of equal names in a module the longest."""
    stats: Any = pstats.Stats(profile)
    found: dict[tuple[str, str], float] = {}
    for (file, _line, function), (_calls, _all_calls, _own, together, _callers) in stats.stats.items():
        key = (Path(file).stem, function)
        found[key] = max(found.get(key, 0.0), together)
    return stats.total_tt, found


if __name__ == "__main__":
    main(sys.argv[1:])
