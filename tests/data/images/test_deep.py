"""Colour of 16 bits per channel: every bit of it, or an error that names what is missing."""

import builtins
import io

import numpy as np
import pytest
from PIL import Image

from ndtools.data.images.decoding import decode_image, number_of_frames, open_image, rounding_step
from ndtools.errors import DataError
from tests.png import png

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 65536, (5, 7, 3), dtype=np.uint16)
WHITE = 65535


def png16(samples, colour_type, **options):
    """Content of a PNG file of 16 bits per channel."""
    return png(samples.shape[1::-1], 16, colour_type, [row.astype(">u2").tobytes() for row in samples], **options)


def tiff(samples, **options):
    file = io.BytesIO()
    pytest.importorskip("tifffile").imwrite(file, samples, **options)
    return file.getvalue()


def exact(values):
    """Numbers of 16 bits in [0, 1] as float32 has them."""
    return (values / WHITE).astype(np.float32)


@pytest.fixture
def codecs():
    """The package that reads PNG files of 16 bits, and compressed TIFF files."""
    return pytest.importorskip("imagecodecs")


class TestWithThePackages:
    @pytest.mark.usefixtures("codecs")
    def test_png(self):
        pixels = decode_image(png16(RGB, 2))
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, exact(RGB.transpose(2, 0, 1)))

    @pytest.mark.usefixtures("codecs")
    def test_the_low_byte_counts(self):
        low = np.zeros((2, 2, 3), np.uint16)
        low[0, 0, 0] = 1
        assert decode_image(png16(low, 2))[0, 0, 0] == np.float32(1 / WHITE)

    @pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"planarconfig": "separate"}])
    @pytest.mark.usefixtures("codecs")
    def test_tiff(self, options):
        samples = RGB.transpose(2, 0, 1) if "planarconfig" in options else RGB
        pixels = decode_image(tiff(samples, photometric="rgb", **options))
        np.testing.assert_array_equal(pixels, exact(RGB.transpose(2, 0, 1)))

    def test_tiff_of_floating_point(self):
        unit = RNG.random((4, 6, 3), dtype=np.float32)
        np.testing.assert_array_equal(decode_image(tiff(unit, photometric="rgb")), unit.transpose(2, 0, 1))
        with pytest.raises(DataError, match=r"do not fit \[0, 1\].*`axes`"):
            decode_image(tiff(3 * unit, photometric="rgb"))

    @pytest.mark.parametrize("encode", [lambda s: png16(s, 6), lambda s: tiff(s, photometric="rgb", extrasamples=[2])])
    @pytest.mark.usefixtures("codecs")
    def test_alpha_is_composited_over_white(self, encode):
        samples = np.dstack([RGB, RNG.integers(0, 65536, RGB.shape[:2], dtype=np.uint16)])
        cover = samples[..., 3:] / WHITE
        expected = samples[..., :3] / WHITE * cover + 1 - cover
        # Three roundings to float32 of numbers up to 1.
        np.testing.assert_allclose(decode_image(encode(samples)), expected.transpose(2, 0, 1), rtol=0, atol=2e-7)

    @pytest.mark.usefixtures("codecs")
    def test_grey_with_alpha_is_three_equal_channels(self):
        samples = np.dstack([RGB[..., 0], np.full(RGB.shape[:2], WHITE, np.uint16)])
        pixels = decode_image(png16(samples, 4))
        np.testing.assert_allclose(pixels, np.broadcast_to(exact(RGB[..., 0]), (3, 5, 7)), rtol=0, atol=1e-7)

    @pytest.mark.usefixtures("codecs")
    def test_colour_key_is_white(self):
        key = RGB[1, 2]
        pixels = decode_image(png16(RGB, 2, further=key.astype(">u2").tobytes()))
        expected = exact(RGB.transpose(2, 0, 1))
        expected[:, 1, 2] = 1
        np.testing.assert_array_equal(pixels, expected)

    @pytest.mark.usefixtures("codecs")
    def test_luma(self):
        luma = (RGB / WHITE) @ [0.299, 0.587, 0.114]
        rounding = 4 * np.finfo(np.float32).eps  # of three products of numbers up to 1, and their sum in any order
        np.testing.assert_allclose(decode_image(png16(RGB, 2), gray=True)[0], luma, rtol=0, atol=rounding)

    @pytest.mark.usefixtures("codecs")
    def test_resizing_of_one_colour_keeps_it(self):
        flat = np.full((8, 12, 3), 4660, np.uint16)
        pixels = decode_image(png16(flat, 2), resize=4)
        assert pixels.shape == (3, 4, 6)
        np.testing.assert_allclose(pixels, 4660 / WHITE, rtol=1e-6)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_orientation_is_that_of_pillow_for_8_bits(self, orientation):
        eight = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        tag = [(274, "H", 1, orientation, True)]
        deep, shallow = (tiff(s, photometric="rgb", extratags=tag) for s in (eight.astype(np.uint16) * 257, eight))
        np.testing.assert_array_equal(np.rint(decode_image(deep) * 255), decode_image(shallow))

    def test_step_size_and_pages(self):
        image = open_image(tiff(np.stack([RGB] * 3), photometric="rgb"))
        assert (image.width, image.height, number_of_frames(image)) == (7, 5, 3)
        assert rounding_step(image) == 1 / WHITE

    def test_many_channels_are_for_arrays(self):
        with pytest.raises(DataError, match=r"9 channels that are not R, G and B.*`axes`"):
            decode_image(tiff(np.zeros((4, 5, 9), np.uint16), photometric="minisblack", planarconfig="contig"))

    @pytest.mark.parametrize(
        "encode", [lambda: png16(RGB, 2), lambda: tiff(RGB, photometric="rgb", compression="zlib")]
    )
    @pytest.mark.usefixtures("codecs")
    def test_damaged(self, encode):
        content = encode()
        for end in (len(content) // 2, len(content) - 20):
            with pytest.raises(DataError):
                decode_image(content[:end])


def jpeg2000(samples, **options):
    return pytest.importorskip("imagecodecs").jpeg2k_encode(samples, level=0, reversible=True, **options)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("codecformat", ["jp2", "j2k"])
@pytest.mark.usefixtures("codecs")
def test_jpeg_2000(bits, codecformat):
    samples = RNG.integers(0, 2**bits, (33, 40, 3), dtype=np.uint16)
    picture = open_image(jpeg2000(samples, bitspersample=bits, codecformat=codecformat))
    expected = (samples / (2**bits - 1)).astype(np.float32).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_image(picture), expected)
    assert rounding_step(picture) == 1 / (2**bits - 1)


@pytest.mark.usefixtures("codecs")
def test_alpha_of_jpeg_2000_is_composited():
    samples = RNG.integers(0, 65536, (33, 40, 4), dtype=np.uint16)
    colours, alpha = np.split(samples.transpose(2, 0, 1) / WHITE, [3])
    pixels = decode_image(jpeg2000(samples, codecformat="jp2"))
    np.testing.assert_allclose(pixels, colours * alpha + 1 - alpha, rtol=0, atol=2**-22)


@pytest.mark.parametrize("largest", [256, 1023, 65535])
def test_ppm(largest):
    samples = RNG.integers(0, largest + 1, (5, 7, 3), dtype=np.uint16)
    expected = (samples / largest).astype(np.float32).transpose(2, 0, 1)
    header = f"# colour\n7 5\n# depth\n{largest}\n".encode()
    text = b" ".join(str(n).encode() for n in samples.ravel())
    for content in (b"P6\n" + header + samples.astype(">u2").tobytes(), b"P3\n" + header + text):
        np.testing.assert_array_equal(decode_image(content), expected)
        assert rounding_step(open_image(content)) == 1 / largest
        with pytest.raises(DataError, match="truncated"):
            decode_image(content[:-12])
    above = np.full(105, largest + 1, np.uint32).astype(">u2").tobytes()
    if largest < WHITE:
        with pytest.raises(DataError, match=f"do not fit 0 to {largest}"):
            decode_image(b"P6\n" + header + above)


@pytest.mark.parametrize(("content", "what"), [(png16(RGB, 2), "PNG"), (None, "TIFF")])
def test_without_the_packages_nothing_is_read_as_its_high_byte(content, what, monkeypatch):
    content = content or tiff(RGB, photometric="rgb")
    original = builtins.__import__

    def without(name, *arguments):
        if name in ("tifffile", "imagecodecs"):
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=rf"{what}.*pip install 'ndtools\[deep\]'"):
        decode_image(content)


def test_8_bits_are_read_by_pillow():
    file = io.BytesIO()
    Image.fromarray((RGB >> 8).astype(np.uint8)).save(file, "PNG")
    assert isinstance(open_image(file.getvalue()), Image.Image)
