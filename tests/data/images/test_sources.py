import gzip
import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from ndtools.data.images import archives, folders, sources
from ndtools.data.images.decoding import decode_image
from ndtools.data.images.sources import ImageRef, ImageSource, Skipped, _paths, resolve_source
from ndtools.errors import DataError, OptionError
from ndtools.text import printable


def png(value):
    file = io.BytesIO()
    Image.new("L", (4, 3), value).save(file, "PNG")
    return file.getvalue()


def fill(folder, *names):
    """Write images whose grey value is their position among the names."""
    for value, name in enumerate(names):
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(png(value))


def names(source):
    return [ref.name for ref in source]


def values(source):
    return [int(decode_image(ref.read())[0, 0, 0]) for ref in source]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_file_whatever_its_extension(here):
    fill(here, "image.dat")
    source = resolve_source("image.dat")
    assert (source.label, len(source), names(source), values(source)) == ("image.dat", 1, ["image.dat"], [0])
    assert names(resolve_source(here / "image.dat")) == [str(here / "image.dat")]


def test_a_folder_is_recursive_sorted_by_bytes_and_takes_images_only(here):
    fill(here, "set/b.png", "set/a/z.JPG", "set/B.png", "set/a.png", "set/a/deep/er/x.TiFf", "set/10.png")
    for other in ("notes.txt", ".hidden.png", ".cache/a.png", "__MACOSX/a.png", "none", "png"):
        path = here / "set" / other
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(99))
    expected = ["10.png", "B.png", "a.png", "a/deep/er/x.TiFf", "a/z.JPG", "b.png"]
    assert names(resolve_source("set")) == [f"set/{name}" for name in expected]
    assert names(resolve_source("set/")) == [f"set/{name}" for name in expected]
    assert values(resolve_source("set")) == [5, 2, 3, 4, 1, 0]


def test_a_hidden_folder_named_explicitly(here):
    fill(here, ".photos/a.png")
    assert names(resolve_source(".photos")) == [".photos/a.png"]


def test_loops_of_links_end(here):
    fill(here, "set/sub/a.png", "set/b.png")
    os.symlink("..", here / "set/sub/up")
    os.symlink(".", here / "set/again")
    os.symlink("self.png", here / "set/self.png")
    os.symlink("nowhere.png", here / "set/dangling.png")
    os.symlink("b.png", here / "set/link.png")
    source = resolve_source("set")
    # "again" is the folder itself, and already entered; so is "up".
    assert names(source) == ["set/b.png", "set/link.png", "set/sub/a.png"]
    assert {skipped.name for skipped in source.skipped} == {"set/self.png", "set/dangling.png"}
    for pattern in ("set/**/*.png", "set/**", "**"):
        found = [os.path.normpath(name) for name in names(resolve_source(pattern))]
        assert len(found) == len(set(found))
        assert {"set/b.png", "set/sub/a.png", "set/link.png"} <= set(found)


def test_a_linked_folder_is_followed(here):
    fill(here, "elsewhere/a.png")
    (here / "set").mkdir()
    os.symlink("../elsewhere", here / "set/linked")
    assert names(resolve_source("set")) == ["set/linked/a.png"]
    # Of several ways to one folder the first by name is taken, whatever the order on the disk.
    (here / "other").mkdir()
    for name in "dbcae":
        os.symlink("../elsewhere", here / "other" / name)
    assert names(resolve_source("other")) == ["other/a/a.png"]


def test_an_unreadable_subfolder_is_reported(here, monkeypatch):
    fill(here, "set/a.png", "set/locked/b.png")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", guarded)
    source = resolve_source("set")
    assert names(source) == ["set/a.png"]
    assert source.skipped == (Skipped("set/locked", "Permission denied"),)
    with pytest.raises(DataError, match=r"'set/locked'.*Permission denied"):
        resolve_source("set/locked")


ODD_NAMES = [b'it\'s "so".png', b" lead and trail .png", b"new\nline.png", b"caf\xe9.png", "ü☃.png".encode()]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(name, here):
    try:
        fill(here, b"set/" + name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    path = os.path.join("set", os.fsdecode(name))
    for source in ("set", path, "set/*", "-"):
        found = resolve_source(source, stdin=io.BytesIO(os.fsencode(path) + b"\0"))
        assert values(found) == [0]
        json.dumps(names(found), ensure_ascii=False).encode("utf-8")
        assert "\n" not in names(found)[0]


def test_printable():
    assert printable("plain ü☃.png") == "plain ü☃.png"
    assert printable(os.fsdecode(b"caf\xe9\n\x1b.png")) == r"caf\xe9\x0a\x1b.png"
    assert printable("lone \ud800.png") == r"lone \ud800.png"
    assert printable(Path("a") / "b.png") == os.path.join("a", "b.png")


def test_globs(here):
    fill(here, "p/a1.png", "p/a2.png", "p/b1.png", "p/q/a3.png", "p/q/r/a4.png", "p/raw.dat", "p/readme")
    for pattern, expected in {
        "p/a?.png": ["p/a1.png", "p/a2.png"],
        "p/[ab]1.*": ["p/a1.png", "p/b1.png"],
        "p/*": ["p/a1.png", "p/a2.png", "p/b1.png", "p/q/a3.png", "p/q/r/a4.png"],
        "p/*.dat": ["p/raw.dat"],
        "p/**/a*.png": ["p/a1.png", "p/a2.png", "p/q/a3.png", "p/q/r/a4.png"],
        "**/r/*.png": ["p/q/r/a4.png"],
        "p/**/**/a3.png": ["p/q/a3.png"],
        "p/**": ["p/a1.png", "p/a2.png", "p/b1.png", "p/q/a3.png", "p/q/r/a4.png"],
        "p/**/r": ["p/q/r/a4.png"],
        f"{here}/**/a4.png": [f"{here}/p/q/r/a4.png"],
    }.items():
        assert names(resolve_source(pattern)) == expected, pattern


def test_an_existing_path_wins_over_every_other_reading(here):
    fill(here, "photo[1].png", "photo1.png", "@list", "sample/a.png")
    assert values(resolve_source("photo[1].png")) == [0]
    assert values(resolve_source("@list")) == [2]
    assert values(resolve_source("sample")) == [3]


def test_list_file(here):
    fill(here, "lists/beside.png", "here.png", "lists/here.png", "sub/c.png")
    absolute = here / "sub/c.png"
    (here / "lists/l.txt").write_bytes(
        b"\xef\xbb\xbfhere.png\r\n\n   \nbeside.png\n" + os.fsencode(absolute) + b"\nmissing.png\nsub"
    )
    source = resolve_source("@lists/l.txt")
    beside = os.path.join("lists", "beside.png")
    assert names(source) == ["here.png", beside, str(absolute), "missing.png"]
    assert source.repeated == 1
    refs = list(source)
    assert [int(decode_image(refs[i].read())[0, 0, 0]) for i in (0, 1, 2)] == [1, 0, 3]
    with pytest.raises(DataError, match="No such file"):
        refs[3].read()


@pytest.mark.parametrize(
    "wrap", [io.BytesIO, lambda b: io.TextIOWrapper(io.BytesIO(b)), lambda b: io.StringIO(b.decode())]
)
@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b"\0"])
def test_standard_input(wrap, separator, here):
    fill(here, "b.png", "a b.png")
    assert values(resolve_source("-", stdin=wrap(separator.join([b"b.png", b"a b.png", b""])))) == [0, 1]


def test_standard_input_by_default(here, monkeypatch):
    fill(here, "b.png")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b.png\n")))
    assert names(resolve_source("-")) == ["b.png"]
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(DataError, match="standard input"):
        resolve_source("-")


lines = st.lists(st.binary(min_size=1).filter(lambda b: not set(b"\0\r\n") & set(b) and b.strip()))


@given(lines, st.sampled_from([b"\n", b"\r\n", b"\n\n", b"\n \t\n"]), st.booleans())
def test_list_parsing_gives_back_every_line(paths, separator, ended):
    content = separator.join(paths) + (separator if ended else b"")
    assume(not content.startswith(b"\xef\xbb\xbf"))
    assert [os.fsencode(path) for path in _paths(content)] == paths


@given(st.lists(st.binary(min_size=1).filter(lambda b: 0 not in b and b.strip()), min_size=1))
def test_list_parsing_by_nul_keeps_line_ends(paths):
    assert [os.fsencode(path) for path in _paths(b"\0".join(paths) + b"\0")] == paths


def many(count):
    return ImageSource("x", tuple(ImageRef(str(i), bytes) for i in range(count)), (Skipped("y", "z"),))


@given(st.integers(0, 60), st.integers(1, 80), st.integers(0, 2**32))
def test_subset(count, n, seed):
    source = many(count)
    chosen = source.subset(n, seed)
    positions = [int(name) for name in names(chosen)]
    assert len(chosen) == len(positions) == min(n, count)
    assert positions == sorted(set(positions))
    assert set(positions) <= set(range(count))
    assert names(source.subset(n, seed)) == names(chosen)
    assert set(names(chosen)) <= set(names(source.subset(n + 1, seed)))
    assert (chosen.label, chosen.skipped) == (source.label, source.skipped)


def test_subset_is_uniform_and_depends_on_the_seed():
    source = many(20)
    counts = np.zeros(20)
    for seed in range(2000):
        counts[[int(name) for name in names(source.subset(5, seed))]] += 1
    # Binomial(2000, 1/4): standard deviation 19.4; 5 of them is a false alarm once in 10^5.
    assert np.abs(counts - 500).max() < 5 * 19.4


@pytest.mark.parametrize("n", [0, -1])
def test_subset_of_nothing_is_refused(n):
    with pytest.raises(OptionError, match="images: must be at least 1"):
        many(3).subset(n, 0)


MEMBERS = ["b.png", "a/c.png", "a/notes.txt", ".x.png", "__MACOSX/b.png", "a/.y/z.png", "./a/a.PNG"]


def write_archive(path, members=MEMBERS):
    contents = {name: png(value) for value, name in enumerate(members)}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.mkdir("a") if hasattr(archive, "mkdir") else None
            for name, content in contents.items():
                archive.writestr(name, content)
    else:
        compression = {".tar": "", ".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}[path.suffix]
        with tarfile.open(path, f"w:{compression}") as archive:
            folder = tarfile.TarInfo("a")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for name, content in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


ARCHIVES = ["x.zip", "x.ZIP", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(name, here):
    path = here / name.lower()
    write_archive(path)
    path.rename(here / name)
    source = resolve_source(name)
    if name.lower() == "x.zip":
        expected = {"./a/a.PNG": 6, "a/c.png": 1, "b.png": 0}  # sorted
    else:
        expected = {"b.png": 0, "a/c.png": 1, "./a/a.PNG": 6}  # order of the archive
    assert len(source) == 3
    assert names(source) == [f"{name}/{member}" for member in expected]
    assert values(source) == list(expected.values())
    assert values(source) == list(expected.values())  # a second pass


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz"])
def test_subset_of_an_archive(name, here):
    write_archive(here / name, [f"{i:03d}.png" for i in range(50)])
    chosen = resolve_source(name).subset(7, seed=3)
    assert len(chosen) == 7
    assert [f"{name}/{value:03d}.png" for value in values(chosen)] == names(chosen)


def test_a_tar_is_streamed(here, monkeypatch):
    """One member in memory at a time, none before it is asked for, and none after the last wanted."""
    write_archive(here / "x.tgz", [f"{i:03d}.png" for i in range(50)])
    source = resolve_source("x.tgz")
    read = []
    extract = tarfile.TarFile.extractfile
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda tar, info: read.append(info.name) or extract(tar, info))
    first = next(iter(source))
    assert first.nbytes == len(first.read()) > 0
    assert read == ["000.png"]
    monkeypatch.setattr(tarfile.TarFile, "next", lambda tar, step=tarfile.TarFile.next: read.append(1) or step(tar))
    read.clear()
    early = ImageSource("x", source.entries[:2])
    assert len(list(early)) == 2
    assert read.count(1) <= 4  # two members, and what opening the archive takes


def test_several_archives_by_a_glob(here):
    for i in range(3):
        write_archive(here / f"shard-{i}.tar", [f"{i}a.png", f"{i}b.png"])
    source = resolve_source("shard-*.tar")
    assert names(source) == [f"shard-{i}.tar/{i}{letter}.png" for i in range(3) for letter in "ab"]
    assert values(source) == [0, 1] * 3


def test_links_in_a_tar_are_reported(here):
    with tarfile.open(here / "x.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = len(png(0))
        archive.addfile(info, io.BytesIO(png(0)))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../../secret.png"
        archive.addfile(link)
    source = resolve_source("x.tar")
    assert names(source) == ["x.tar/a.png"]
    assert [skipped.name for skipped in source.skipped] == ["x.tar/link.png"]
    assert "link" in source.skipped[0].reason


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_a_member_beyond_the_limit_is_skipped(name, here, monkeypatch):
    write_archive(here / name, ["a.png"])
    monkeypatch.setattr(archives, "MAX_FILE_BYTES", len(png(0)) - 1)
    with pytest.raises(DataError, match=rf"no usable images in '{name}': {name}/a.png: larger than 1 GiB"):
        resolve_source(name)


def test_encrypted_members_of_a_zip_are_skipped(here):
    write_archive(here / "x.zip", ["a.png", "b.png"])
    content = bytearray((here / "x.zip").read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[content.index(b"a.png", directory) - 46 + 8] |= 1  # the flags, in an entry of 46 bytes and a name
    (here / "x.zip").write_bytes(content)
    source = resolve_source("x.zip")
    assert names(source) == ["x.zip/b.png"]
    assert source.skipped == (Skipped("x.zip/a.png", "encrypted; unpack the archive first"),)


def test_a_damaged_member_of_a_zip_is_one_error(here):
    with zipfile.ZipFile(here / "x.zip", "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", png(0))
        archive.writestr("b.png", png(1))
    content = bytearray((here / "x.zip").read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    (here / "x.zip").write_bytes(content)
    first, second = resolve_source("x.zip")
    with pytest.raises(DataError, match="damaged in the archive: Bad CRC"):
        first.read()
    assert second.read() == png(1)


def damaged_header(content):
    at = content.index(b"020.png")
    return content[: at + 3] + b"X" + content[at + 4 :]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("x.zip", lambda content: b"no archive at all"),
        ("x.tar", lambda content: b"no archive at all" * 100),
        ("x.tar.gz", lambda content: b"no archive at all" * 100),
        ("x.tar", lambda content: b""),
        ("x.zip", lambda content: content[:-30]),
        ("x.tar", lambda content: content[: 1000 + 512 * 20]),
        ("x.tgz", lambda content: content[: len(content) // 2]),
        ("x.tar.xz", lambda content: content[: len(content) // 2]),
        ("x.tar", damaged_header),
        ("x.tgz", lambda content: gzip.compress(damaged_header(gzip.decompress(content)))),
    ],
)
def test_damaged_archives(name, damage, here):
    write_archive(here / name, [f"{i:03d}.png" for i in range(40)])
    (here / name).write_bytes(damage((here / name).read_bytes()))
    with pytest.raises(DataError, match=rf"^cannot read the archive '{name}': .*; fetch it again") as caught:
        resolve_source(name)
    assert "\n" not in str(caught.value)


def test_an_archive_damaged_after_listing(here):
    write_archive(here / "x.tar", [f"{i:03d}.png" for i in range(40)])
    source = resolve_source("x.tar")
    (here / "x.tar").write_bytes((here / "x.tar").read_bytes()[: 512 * 20 + 3])
    with pytest.raises(DataError, match=r"cannot read the archive 'x\.tar'"):
        list(source)


def test_the_built_in_sample(here):
    source = resolve_source("sample")
    assert source.label == "sample"
    assert len(source) >= 20
    assert len(set(names(source))) == len(source)
    assert decode_image(next(iter(source)).read()).shape[0] == 3


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "photo",
            r"^no such file or folder: 'photo'; did you mean 'photos'\?"
            r" \(built-in: sample, sample-photo, dead-leaves\)$",
        ),
        ("photos/tench.jpg", r"did you mean 'photos/tench\.jpeg'\?"),
        ("sampel", r"did you mean 'sample'\?"),
        ("nowhere/at/all.png", r"^no such file or folder: 'nowhere/at/all\.png' \(built-in"),
        ("", r"no such file or folder: ''"),
        ("texts", r"^no images in 'texts' \(looked for \.jpg, \.png"),
        ("empty", r"^no images in 'empty'"),
        ("empty.zip", r"^no images in 'empty\.zip'"),
        ("*.xyz", r"^no files match '\*\.xyz'"),
        ("texts/*", r"^no files match 'texts/\*', or none of them is an image \(looked for"),
        (
            "@photos.txt",
            r"^cannot read the list 'photos\.txt': No such file or directory; did you mean 'photo",
        ),
        ("@blank.txt", r"^the list 'blank\.txt' names no images; write one path per line$"),
        ("-", r"^no paths on standard input; pipe"),
    ],
)
def test_what_is_not_there(source, message, here):
    fill(here, "photos/tench.jpeg", "photoslist.txt")
    (here / "empty").mkdir()
    (here / "texts").mkdir()
    (here / "texts/a.txt").touch()
    (here / "blank.txt").write_text("\n  \n")
    zipfile.ZipFile(here / "empty.zip", "w").close()
    with pytest.raises(DataError, match=message):
        resolve_source(source, stdin=io.BytesIO(b"\n"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_special_files_are_passed_over_with_a_reason(here):
    fill(here, "set/a.png")
    os.mkfifo(here / "set/pipe.png")
    os.mkfifo(here / "set/pipe.txt")  # no image by its name
    os.symlink("/dev/zero", here / "set/zero.png")
    source = resolve_source("set")
    assert names(source) == ["set/a.png"]
    kinds = {skipped.name: skipped.reason.split(";")[0] for skipped in source.skipped}
    assert kinds == {
        "set/pipe.png": "a pipe, not a regular file",
        "set/zero.png": "a device, not a regular file",
    }
    # Matches of a glob and lines of a list are read like files that are named.
    for pattern in ("set/*.png", "**/pipe.png", "set/pipe.png"):
        reference = next(ref for ref in resolve_source(pattern) if ref.name == "set/pipe.png")
        with pytest.raises(DataError, match="^a pipe, not a regular file"):
            reference.read()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_special_files_as_lists_and_archives(here):
    for name in ("pipe.txt", "pipe.zip", "pipe.tar"):
        os.mkfifo(here / name)
    with pytest.raises(DataError, match=r"^cannot read the list 'pipe\.txt': a pipe.*, or pipe the list into '-'$"):
        resolve_source("@pipe.txt")
    for name in ("pipe.zip", "pipe.tar"):
        with pytest.raises(DataError, match=rf"^cannot read the archive '{name}': a pipe, not a regular file"):
            resolve_source(name)


def test_lists_have_a_largest_size(here, monkeypatch):
    monkeypatch.setattr(sources, "_MAX_LIST_BYTES", 20)
    (here / "long.txt").write_bytes(b"a.png\n" * 4)
    with pytest.raises(DataError, match=r"cannot read the list 'long\.txt': larger than 20 bytes"):
        resolve_source("@long.txt")
    for endless in (io.BytesIO(b"a.png\n" * 4), io.StringIO("a.png\n" * 4)):
        with pytest.raises(DataError, match="standard input must be a list of paths, got more than 64 MiB"):
            resolve_source("-", stdin=endless)


def test_many_double_stars_enter_each_folder_once_for_each(here, monkeypatch):
    fill(here, *(f"p/q{i}/r{j}/{i}{j}.png" for i in range(3) for j in range(3)))
    for i in range(3):
        os.symlink("..", here / f"p/q{i}/up")
        os.symlink("../..", here / f"p/q{i}/r0/top")
    entered = []
    scandir = os.scandir
    monkeypatch.setattr(folders.os, "scandir", lambda path: entered.append(path) or scandir(path))
    found = names(resolve_source("**/**/p/**/**/r*/**/*.png"))
    assert [os.path.basename(name) for name in found] == [f"{i}{j}.png" for i in range(3) for j in range(3)]
    assert len(entered) < 200  # 3 ** times 14 folders, by walking and by matching; without a bound 14^3 and more


def test_a_member_without_a_name(here):
    with zipfile.ZipFile(here / "x.zip", "w") as archive:
        archive.writestr("a.png", png(3))
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        archive.writestr(nameless, png(4))
    assert names(resolve_source("x.zip")) == ["x.zip/a.png"]


def test_control_characters_do_not_reach_messages(here):
    with pytest.raises(DataError) as caught:
        resolve_source("no\x1bsuch\nfile\u2028")
    assert str(caught.value).startswith(r"no such file or folder: 'no\x1bsuch\x0afile\u2028'")


def test_files_that_a_list_names_again_count_once(here):
    write_archive(here / "x.zip", ["a.png"])
    os.makedirs("set")
    for name in ("set/a.png", "set/b.png"):
        (here / name).write_bytes(b"")
    listed = ["x.zip", "set", "./x.zip", "set/a.png", str(here / "set/b.png"), "set//a.png"]
    source = resolve_source("-", stdin=io.StringIO("\n".join(listed)))
    assert names(source) == ["x.zip/a.png", "set/a.png", "set/b.png"]
    assert source.repeated == 4
    assert resolve_source("set").repeated == 0
