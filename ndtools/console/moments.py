"""Options of commands that save the moments of images, add them up, or compute those of one shard."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ndtools.console.conflicts import refuse_given
from ndtools.console.results import ExperimentOutput
from ndtools.errors import OptionError

if TYPE_CHECKING:
    from ndtools.computing.progress import Progress
    from ndtools.data.images.layouts import MomentsSettings
    from ndtools.validation import Ridge

__all__ = [
    "FromMoments",
    "SaveMoments",
    "ShardOption",
    "check_moments_file",
    "moments_or_source",
    "save_shard",
    "shard_from",
]

# Options that say how a result is computed from moments, and what is written of it.
_NO_SHARD = (
    *("method", "iterations", "fit", "bootstrap", "spectrum", "from_moments"),
    *("out", "name", "formats", "width", "title", "dpi", "show"),
)

SaveMoments = Annotated[
    Path | None, typer.Option(help="Write the moments of the images to this .npz file, for --from-moments.")
]
FromMoments = Annotated[
    list[str] | None,
    typer.Option(
        help="Add up files of --save-moments instead of reading images: one or more, or a quoted glob. Shards must be "
        "complete."
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Compute only part I of N of the source, and only the file of --save-moments; --from-moments adds the N "
        "files up, on any machine.",
    ),
]


def shard_from(context: typer.Context, text: str | None) -> tuple[int, int] | None:
    """Read the number of a shard and the number of all shards.

    Parameters
    ----------
    context : typer.Context
        Context of the command.
    text : str or None
        Text such as "3/8"; None if there are no shards.

    Returns
    -------
    (int, int) or None
        Number of the shard, from 1, and the number of all.

    Raises
    ------
    OptionError
        If the text is none such, or options were given that have no meaning for a shard.
    """
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise OptionError("shard", f"must be I/N with I from 1 to N, as in 1/8, got {text!r}")
    refuse_given(context, _NO_SHARD, "with --shard, which computes moments; --from-moments adds them up")
    return int(match[1]), int(match[2])


def moments_or_source(
    context: typer.Context, named: Sequence[str], moments: Sequence[str], *, of_images: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the source of images, and the files of moments that are read instead of it.

    Parameters
    ----------
    context : typer.Context
        Context of the command.
    named : sequence of str
        Sources that the user named. With files of moments, these are further files: an option takes one value, so that
        the files of an unquoted glob arrive as sources.
    moments : sequence of str
        Values of ``--from-moments``: names of files, or globs.
    of_images : sequence of str
        Options that say what moments are made of images, so that they have no meaning with files of moments.

    Returns
    -------
    (str, tuple of str)
        Source, and the names of the files. One of both is what it is by default.

    Raises
    ------
    OptionError
        If images, or options of them, are combined with files of moments, there are several sources, or no file matches
        a glob.
    """
    if not moments:
        if len(named) > 1:
            raise OptionError("source", f"must be one, got {len(named)}: quote the glob, or name a folder or @list.txt")
        return named[0] if named else "sample", ()
    if moments[0].startswith("-"):
        raise OptionError("from_moments", f"needs a file, got {moments[0]!r}")
    for name in named:
        if Path(name).suffix.lower() != ".npz":
            raise OptionError(
                "from_moments",
                f"cannot be combined with {name!r}, as with any images; if it is a file of moments, write"
                " --from-moments before it, or let its name end in .npz",
            )
    paths = tuple(path for name in (*moments, *named) for path in _matching(name))
    refuse_given(context, of_images, "with --from-moments: the files hold the moments of images")
    return "sample", paths


def _matching(name: str) -> list[str]:
    import glob
    import os

    if os.path.lexists(name) or not glob.has_magic(name):
        return [name]
    paths = sorted(glob.glob(name))
    if not paths:
        raise OptionError("from_moments", f"must name files that exist, got {name!r}, which matches none")
    return paths


def check_moments_file(path: Path, output: ExperimentOutput, sizes: Sequence[int]) -> None:
    """Check that there is one kernel size, and that the file of its moments can be written and is no other file.

    Parameters
    ----------
    path : Path
        File of the moments.
    output : ExperimentOutput
        Screen and result files of the command.
    sizes : sequence of int
        Kernel sizes that the user asked for.

    Raises
    ------
    OptionError
        If there are several kernel sizes, or the file is another one.
    """
    from ndtools.moments.files import is_moments
    from ndtools.writing import check_writable

    if len(sizes) > 1:
        raise OptionError("save_moments", f"has no meaning with several kernel sizes, got {len(sizes)}; take one")
    if path.resolve() in [result.resolve() for result in output.paths()]:
        raise OptionError("save_moments", f"must be a file of its own, got {path}, which this command writes")
    another_file = "another file with --save-moments"
    check_writable([path], elsewhere=another_file, shorter=another_file)
    if path.exists() and not is_moments(path):
        raise OptionError("save_moments", f"would replace {path}, which is no file of moments; choose another file")


def save_shard(
    output: ExperimentOutput,
    config: "MomentsSettings",
    shard: tuple[int, int],
    path: Path | None,
    *,
    sizes: Sequence[int],
    ridges: "Sequence[Ridge]",
) -> None:
    """Compute the moments of one shard of a source, and write them to a file.

    Parameters
    ----------
    output : ExperimentOutput
        Screen of the command.
    config : MomentsSettings
        Configuration of the command, with the source.
    shard : (int, int)
        Number of the shard, from 1, and the number of all.
    path : Path or None
        File of the moments.
    sizes : sequence of int
        Kernel sizes that the user asked for: one.
    ridges : sequence of float, "paper" or "auto"
        Ridges that will be added.

    Raises
    ------
    OptionError
        If there is no file, it is another one, or there are several kernel sizes.
    """
    if path is None:
        raise OptionError("shard", "needs --save-moments FILE, the file of the moments of this shard")
    check_moments_file(path, output, sizes)

    from ndtools.computing.operators import resolve_device
    from ndtools.data.images.sources import resolve_source
    from ndtools.moments.files import Moments
    from ndtools.moments.origin import PatchSetting, Shard
    from ndtools.moments.sharded import shard_moments
    from ndtools.results.inputs import images_used
    from ndtools.text import counted

    setting, part, replaced = PatchSetting.of(config, ridges), Shard(*shard), path.exists()

    def run(progress: "Progress | None" = None) -> None:
        images = resolve_source(config.source, layout=setting.layout, progress=progress)
        images = images.subset(setting.images, setting.seed)
        device = resolve_device(config.device)
        covariance, found, origin = shard_moments(
            images, setting, part, jobs=config.jobs, device=device, progress=progress
        )
        used = images_used(images, found.read, found.skipped, found.frames, found.noise)
        moments = Moments(
            covariance,
            found.read,
            setting.resize,
            setting.space,
            found.noise,
            origin,
            calibrated=images.calibrated,
            names=images.channels_decoded(gray=setting.gray, space=setting.space),
        )
        moments.save(path)
        output.skipped(used)
        content = {
            "shard": str(part),
            "source": origin.source,
            "listing": origin.listing,
            "setting": setting.recorded(),
            "images": used.numbers(),
            "patches": covariance.count,
            "moments": str(path),
        }
        output.json(content)
        output.text(f"Shard {part} of {origin.source} · {counted(found.read, 'image')} · {covariance.count:,} patches")

    output.compute(run, counting="images")
    output.written([path], replaced=replaced)
