import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ndtools.data.labelled import cifar
from ndtools.data.labelled.cifar import read_binary, read_names, read_pickle
from ndtools.errors import DataError
from ndtools.text import printable
from tests.labelled_files import LABELS, PIXELS, records


def old_pickle(pixels=PIXELS, labels=LABELS, shape=None, code=b"u1", fortran=b"\x89", key=b"labels"):
    """A batch as cPickle of Python 2 wrote it: strings that are bytes, and the old name of NumPy's function."""
    shape = pixels.shape if shape is None else shape
    raw = pixels.tobytes()
    return (
        b"\x80\x02}(U\x04data" + b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01"
        + b"".join(b"J" + struct.pack("<i", n) for n in shape)
        + b"\x86"
        + b"cnumpy\ndtype\nU"
        + bytes([len(code)])
        + code
        + b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + fortran
        + b"T"
        + struct.pack("<i", len(raw))
        + raw
        + b"tbU"
        + bytes([len(key)])
        + key
        + b"]("
        + b"".join(b"J" + struct.pack("<i", n) for n in labels)
        + b"eu."
    )


def write(path, content):
    path.write_bytes(content)
    return path


def test_binary(tmp_path):
    images, labels, _ = read_binary(write(tmp_path / "a.bin", records()), 10)
    np.testing.assert_array_equal(images.numpy(), PIXELS.reshape(4, 3, 32, 32))
    assert labels.tolist() == LABELS
    images, labels, _ = read_binary(
        write(tmp_path / "b.bin", records(labels=[99, 0, 1, 2], coarse=[19, 0, 5, 5])), 100, 2
    )
    np.testing.assert_array_equal(images.numpy(), PIXELS.reshape(4, 3, 32, 32))
    assert labels.tolist() == [99, 0, 1, 2]


@pytest.mark.parametrize(
    ("content", "label_bytes", "message"),
    [
        (b"", 1, "holds 0 bytes"),
        (records()[:-1], 1, "holds 12,291 bytes, not a whole number of records of 3,073"),
        (records() + b"\0", 1, "not a whole number"),
        (records(labels=[1, 2, 10, 0]), 1, r"label 10 of image 2 is not in 0\.\.9"),
        (records(labels=[1, 2, 3, 10], coarse=[0] * 4), 2, "label 10 of image 3"),
        (records(coarse=[0, 20, 0, 0]), 2, r"coarse label 20 of image 1 is not in 0\.\.19"),
    ],
)
def test_binary_faults(tmp_path, content, label_bytes, message):
    with pytest.raises(DataError, match=rf"x\.bin.*{message}"):
        read_binary(write(tmp_path / "x.bin", content), 10, label_bytes)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("key", [b"labels", "fine_labels"])
def test_pickle_of_python_3(tmp_path, protocol, key):
    long = "a" * 200_000  # written outside the frames of protocol 4, and referred to again
    held = {b"data": PIXELS, key: LABELS, b"filenames": [b"a.png"] * 4, b"batch_label": long, b"again": long}
    images, labels, _ = read_pickle(write(tmp_path / "x", pickle.dumps(held, protocol=protocol)), 10)
    np.testing.assert_array_equal(images.numpy(), PIXELS.reshape(4, 3, 32, 32))
    assert labels.tolist() == LABELS


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_with_as_many_names_as_a_whole_set(tmp_path, protocol):
    names = [f"picture_s_{i:06}.png".encode() for i in range(50_000)]
    held = {b"data": PIXELS, b"labels": LABELS, b"filenames": names, b"coarse_labels": list(range(50_000))}
    assert len(read_pickle(write(tmp_path / "x", pickle.dumps(held, protocol=protocol)), 10)[0]) == 4


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.binary(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    protocol=st.integers(2, 5),
    labels=st.lists(st.integers(0, 99), min_size=1, max_size=5),
    more=st.dictionaries(st.text() | st.binary(), VALUES, max_size=5),
    names=st.lists(st.text(st.characters(exclude_categories=["C"])) | st.binary(), min_size=3, max_size=3),
    arrangement=st.sampled_from(["rows", "columns", "part", "read-only"]),
    as_bytes=st.booleans(),
)
def test_whatever_python_3_writes_is_read(tmp_path, protocol, labels, more, names, arrangement, as_bytes):
    pixels = np.random.default_rng(len(labels)).integers(0, 256, (2 * len(labels), 3072), dtype=np.uint8)
    wanted = pixels[::2].copy()
    held = {"rows": wanted.copy(), "columns": np.asfortranarray(wanted), "part": pixels[::2], "read-only": wanted}
    wanted.flags.writeable = False
    data, fine, listed = (b"data", b"labels", b"label_names") if as_bytes else ("data", "labels", "label_names")
    others = {key: value for key, value in more.items() if key not in ("data", "labels", b"data", b"labels")}
    content = others | {data: held[arrangement], fine: labels, listed: names}
    path = write(tmp_path / "x", pickle.dumps(content, protocol=protocol))
    images, found, _ = read_pickle(path, 100)
    np.testing.assert_array_equal(images.flatten(1).numpy(), wanted)
    assert found.tolist() == labels
    others = {key: value for key, value in others.items() if key not in ("fine_label_names", b"fine_label_names")}
    path = write(tmp_path / "meta", pickle.dumps(others | {listed: names}, protocol=protocol))
    texts = [name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name for name in names]
    assert read_names(path, 3)[0] == tuple(map(printable, texts))


def test_pickle_of_python_2(tmp_path):
    assert np.array_equal(pickle.loads(old_pickle(), encoding="bytes")[b"data"], PIXELS)
    images, labels, _ = read_pickle(write(tmp_path / "x", old_pickle()), 10)
    np.testing.assert_array_equal(images.numpy(), PIXELS.reshape(4, 3, 32, 32))
    assert labels.tolist() == LABELS
    columns = old_pickle(np.ascontiguousarray(PIXELS.T), shape=(4, 3072), fortran=b"\x88")
    images, _, _ = read_pickle(write(tmp_path / "y", columns), 10)
    np.testing.assert_array_equal(images.numpy(), PIXELS.reshape(4, 3, 32, 32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (old_pickle(labels=[1, 2, 3, 10]), r"label 10 of image 3 is not in 0\.\.9"),
        (old_pickle(labels=[1, -1, 3, 0]), "label -1 of image 1"),
        (old_pickle(labels=[1, 2, 3]), "must hold one integer label for each of its 4 images"),
        (old_pickle(shape=(2**31 - 1, 3072)), "said to be 2,147,483,647 images, but holds 12,288 bytes"),
        (old_pickle(shape=(3, 3072)), "said to be 3 images"),
        (old_pickle(shape=(-4, 3072)), "said to be -4 images"),
        (old_pickle(shape=(3072, 4)), "not an array of bytes with 3,072"),
        (old_pickle(code=b"i1"), "not an array of bytes"),
        (old_pickle(code=b"O8"), "not an array of bytes"),
        (old_pickle(key=b"labelz"), "lacks data or labels"),
        (pickle.dumps({b"data": 1, b"labels": [1]}), "lacks data or labels"),
        (pickle.dumps([1]), "does not hold a dictionary"),
        (
            pickle.dumps({b"data": np.array([[object()]]), b"labels": [1]}, protocol=2),
            "is refused: it uses the opcode NEWOBJ",
        ),
        (pickle.dumps({b"data": PIXELS, b"labels": [True] * 4}, protocol=2), "must hold one integer label for each"),
        (b"", "is damaged or not a pickled file"),
        (b"not a pickle", "is damaged or not a pickled file"),
    ],
)
def test_pickle_faults(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"batch .*{message}|batch: .*{message}"):
        read_pickle(write(tmp_path / "batch", content), 10)


class Runs:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_that_a_pickle_names_is_run(tmp_path, protocol, monkeypatch):
    import os

    mark = tmp_path / "mark"
    for attack in (
        Runs(os.system, f"touch {mark}"),
        Runs(eval, f"open({str(mark)!r}, 'w')"),
        Runs(exec, "raise SystemExit"),
        Runs(getattr, "a", "upper"),
        Runs(np.load, str(mark)),
        Runs(np.zeros, (10**6,) * 3),
        np.random.default_rng(0),
    ):
        for held in (attack, {b"data": PIXELS, b"labels": LABELS, b"more": attack}):
            path = write(tmp_path / "batch", pickle.dumps(held, protocol=protocol))
            with pytest.raises(DataError, match="batch is refused: it (names|uses the opcode) "):
                read_pickle(path, 10)
    assert not mark.exists()


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NO_DICTIONARY = "does not hold a dictionary"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cnumpy.core.multiarray\nscalar\n.", "names numpy.core.multiarray.scalar"),
        (b"c__builtin__\neval\n.", "names __builtin__.eval"),
        (b"c_codecs\ndecode\n.", "names _codecs.decode"),
        (b"X\x05\x00\x00\x00numpyX\x0d\x00\x00\x00ndarray.dumps\x93.", "names numpy.ndarray.dumps"),
        (b"K\x01r\xff\xff\xff\xef.", "numbers an object beyond the count"),
        (b"K\x01p4000000000\n.", "uses the opcode PUT"),
        (b"\x8e" + struct.pack("<Q", 1 << 62) + b"a.", "is damaged"),
        (b"\x96" + struct.pack("<Q", 1 << 40) + b"a.", "is damaged"),
        (b"X\x02\x00\x00\x00ab\x94Q.", "uses the opcode BINPERSID"),
        (b"\x85", "is damaged"),
        (b"}(K\x01u.", "is damaged"),
        (b"h\x05.", "is damaged"),
        (b"X\x01\x00\x00\x00aK\x01\x93.", "is damaged"),
        (b"](U\x01aNu.", "is damaged"),
        (b"}(Ne.", "is damaged"),
        (b"}Nb.", "is not a CIFAR file: it lacks data or labels"),
        (b"})R.", "is damaged"),
        (b"cnumpy\nndarray\n)R.", NO_DICTIONARY),
        (b"c__builtin__\nbytes\nJ\x00\x00\x00\x40\x85R.", NO_DICTIONARY),
        (b"cnumpy\nndarray\n)\x81.", "uses the opcode NEWOBJ"),
        (b"cnumpy\nndarray\n)}\x92.", "uses the opcode NEWOBJ_EX"),
        (b"(cnumpy\nndarray\no.", "uses the opcode OBJ"),
        (b"(i_codecs\nencode\n.", "uses the opcode INST"),
        (b"(\x91.", "uses the opcode FROZENSET"),
        (b"\x8f.", "uses the opcode EMPTY_SET"),
        (b"\x82\x01.", "uses the opcode EXT1"),
        (b"Pa\n.", "uses the opcode PERSID"),
        (b"\x97.", "uses the opcode NEXT_BUFFER"),
    ],
)
def test_hostile_opcodes(tmp_path, content, message):
    with pytest.raises(DataError, match=rf"batch.*{message}"):
        read_pickle(write(tmp_path / "batch", b"\x80\x05" + content), 10)


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        (b")" + b"2\x86" * 60, "uses the opcode DUP"),
        (b")" + b"q\x00h\x00\x86" * 60, "refers again to an object that may be a tuple"),
        (b")\x94" + b"".join(b"h" + bytes([i]) * 2 + b"\x86\x94" for i in range(60)), "refers again"),
        (b")" + b"Nbq\x00h\x00\x86" * 60, "refers again"),
        (b")" + b"(eq\x00h\x00\x86" * 60, "refers again"),
        (b")" + b"(uq\x00h\x00\x86" * 60, "refers again"),
        (b")" + b"\x95\x00\x00\x00\x00\x00\x00\x00\x00q\x00h\x00\x86" * 60, "refers again"),
        (b")" + b"(q\x00h\x00t" * 60, "refers again|is damaged"),
        (b")" + b"\x85" * 1_000_000, "nests more than 1,000 tuples"),
        (b")" + b"\x85q\x00" * 500_000, "nests more than 1,000 tuples"),
        (b")" + b"N\x86" * 500_000, "nests more than 1,000 tuples"),
    ],
)
@pytest.mark.parametrize("use", [b"}%sNs.", b"}(%sNu.", b"c_codecs\nencode\n%s\x85R."])
def test_tuples_that_take_forever_to_hash_or_overflow_the_stack(tmp_path, nested, message, use):
    with pytest.raises(DataError, match=rf"batch.*({message})"):
        read_pickle(write(tmp_path / "batch", b"\x80\x05" + use.replace(b"%s", nested)), 10)


def test_long_chains_of_calls_do_not_overflow_the_stack(tmp_path):
    chain = b"cnumpy\ndtype\nq\x00" + b"h\x00" * 100_000 + b")" + b"R\x85" * 100_000 + b"R"
    with pytest.raises(DataError, match=NO_DICTIONARY):
        read_pickle(write(tmp_path / "batch", b"\x80\x02" + chain + b"."), 10)


@pytest.mark.parametrize("named", [RECONSTRUCT, b"cnumpy\nndarray\n", RECONSTRUCT + b")R"])
@pytest.mark.parametrize("state", [b"}U\x01aK\x01s", b"N}U\x08__call__K\x01s\x86", b"N}X\x04\x00\x00\x00nameNs\x86"])
def test_nothing_that_a_pickle_sets_outlives_it(tmp_path, named, state):
    with pytest.raises(DataError, match=NO_DICTIONARY):
        read_pickle(write(tmp_path / "batch", b"\x80\x02" + named + state + b"b."), 10)
    images, _, _ = read_pickle(write(tmp_path / "batch", old_pickle()), 10)
    np.testing.assert_array_equal(images.numpy(), PIXELS.reshape(4, 3, 32, 32))


def test_bytes_are_encoded_only_as_python_does(tmp_path):
    held = pickle.dumps({"data": PIXELS, "labels": LABELS}, protocol=2)
    assert len(read_pickle(write(tmp_path / "batch", held), 10)[0]) == 4
    for encoding in (b"zlib_c", b"rot_13", b"utf-16"):
        with pytest.raises(DataError, match="not an array of bytes"):
            read_pickle(write(tmp_path / "batch", held.replace(b"latin1", encoding)), 10)
    wide = old_pickle(np.zeros((1, 3072), np.uint8), [1]).replace(
        b"T" + struct.pack("<i", 3072) + bytes(3072),
        b"c_codecs\nencode\n(X" + struct.pack("<i", 9216) + "€".encode() * 3072 + b"X\x06\x00\x00\x00latin1tR",
    )
    with pytest.raises(DataError, match="not an array of bytes"):
        read_pickle(write(tmp_path / "batch", wide), 10)


def test_the_number_of_opcodes_is_bounded(tmp_path, monkeypatch):
    path = write(tmp_path / "batch", b"\x80\x02" + b"N" * 1000 + b".")
    with pytest.raises(DataError, match=NO_DICTIONARY):
        read_pickle(path, 10)
    monkeypatch.setattr(cifar, "_MAX_OPCODES", 1001)
    with pytest.raises(DataError, match="it uses more than 1,001 opcodes"):
        read_pickle(path, 10)


def test_memory_is_in_proportion_to_the_file(tmp_path):
    text = b"X" + struct.pack("<I", 1 << 20) + "é".encode() * (1 << 19)
    encode = b"c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x02"
    bytes_again = b"h\x01h\x00h\x02\x86R"
    shape = b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"
    cases = [
        (bytes_again * 2000, NO_DICTIONARY),
        (b"}(" + (bytes_again + b"N") * 2000 + b"u", "lacks data or labels"),
        (b"cnumpy\ndtype\nh\x00\x85R" * 2000, NO_DICTIONARY),
        (b"cnumpy.core.numeric\n_frombuffer\n(h\x00NNX\x01\x00\x00\x00CtR" * 2000, NO_DICTIONARY),
        (b"h\x00\x85h\x00\x86" * 400, NO_DICTIONARY),
        (RECONSTRUCT + b"cnumpy\nndarray\n" + shape + b"h\x00\x87R", NO_DICTIONARY),
        (b"cnumpy\nndarray\n" + shape + b"\x85R", NO_DICTIONARY),
    ]
    for case, message in cases:
        path = write(tmp_path / "batch", b"\x80\x02" + text + b"q\x00" + encode + case + b".")
        tracemalloc.start()
        with pytest.raises(DataError, match=message):
            read_pickle(path, 10)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()


def test_long_texts_are_no_names(tmp_path):
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    listed = b"\x80\x02}U\x0blabel_names](" + text + b"h\x00" * 99 + b"es."
    tracemalloc.start()
    with pytest.raises(DataError, match="holds something other than names"):
        read_names(write(tmp_path / "meta", listed), 100)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


SMALL = old_pickle()
HEADER = 150  # what comes before the pixels, and the labels after them


@settings(max_examples=150)
@given(at=st.one_of(st.integers(0, HEADER), st.integers(len(SMALL) - 40, len(SMALL) - 1)), value=st.integers(1, 255))
def test_a_changed_byte_gives_an_error_or_a_well_formed_batch(tmp_path, at, value):
    damaged = bytearray(SMALL)
    damaged[at] ^= value
    path = write(tmp_path / "batch", damaged)
    try:
        images, labels, md5 = read_pickle(path, 10)
    except DataError as error:
        assert str(path) in str(error)
    else:  # which the checksum of a known set tells apart
        assert images.shape == (4, 3, 32, 32)
        assert len(labels) == 4 and labels.min() >= 0 and labels.max() < 10


def test_cut_short_anywhere(tmp_path):
    for length in [*range(0, HEADER, 3), 5000, *range(len(SMALL) - 40, len(SMALL))]:
        with pytest.raises(DataError, match="batch is "):
            read_pickle(write(tmp_path / "batch", SMALL[:length]), 10)


def test_names(tmp_path):
    text = write(tmp_path / "batches.meta.txt", b"cat\ndog\n\n")
    assert read_names(text, 2)[0] == ("cat", "dog")
    for key in (b"label_names", b"fine_label_names", "label_names"):
        pickled = write(tmp_path / "meta", pickle.dumps({key: [b"cat", b"d\x1bog"], b"n": 2}, protocol=2))
        assert read_names(pickled, 2)[0] == ("cat", "d\\x1bog")
    with pytest.raises(DataError, match="batches.meta.txt does not hold the names of 3 classes"):
        read_names(text, 3)
    with pytest.raises(DataError, match="meta holds something other than names"):
        read_names(write(tmp_path / "meta", pickle.dumps({"label_names": [1, 2]})), 2)
    with pytest.raises(DataError, match="meta does not hold"):
        read_names(write(tmp_path / "meta", pickle.dumps({"names": [1, 2]})), 2)
    with pytest.raises(DataError, match="cannot read"):
        read_names(tmp_path / "absent", 2)
