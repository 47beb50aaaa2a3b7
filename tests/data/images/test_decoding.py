import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, UnidentifiedImageError

from ndtools.computing import memory
from ndtools.data.images.decoding import decode_image, decoding_memory, open_image, using_memory
from ndtools.errors import DataError, OptionError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def picture(array, mode=None):
    """Picture from an array; without a mode the type and shape say it."""
    if mode is None:
        return Image.fromarray(array)
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), np.ascontiguousarray(array).tobytes())


def over_white(colour, alpha):
    """Compositing in exact arithmetic, colour (H, W, 3) or (H, W), to (3, H, W)."""
    colour = np.broadcast_to(colour if colour.ndim == 3 else colour[..., None], (*alpha.shape, 3))
    weight = alpha[..., None] / 255
    return (colour * weight + 255 * (1 - weight)).transpose(2, 0, 1)


def luma(rgb):
    return rgb @ np.array([0.299, 0.587, 0.114])


def test_rgb_keeps_every_sample():
    pixels = decode_image(encoded(picture(RGB)))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, RGB.transpose(2, 0, 1))


def test_rgb_gray_is_luma():
    pixels = decode_image(encoded(picture(RGB)), gray=True)
    assert pixels.shape == (1, 5, 7)
    assert pixels.dtype == np.uint8
    assert np.abs(pixels[0] - luma(RGB)).max() <= 0.51  # rounding


def test_grey_is_repeated_or_kept():
    np.testing.assert_array_equal(decode_image(encoded(picture(GREY))), np.stack([GREY] * 3))
    np.testing.assert_array_equal(decode_image(encoded(picture(GREY)), gray=True), GREY[None])


@pytest.mark.parametrize("kind", ["bytes", "file", "str", "path", "picture"])
def test_every_kind_of_content(kind, tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture(RGB)))
    with path.open("rb") as file:
        content = {
            "bytes": path.read_bytes(),
            "file": file,
            "str": str(path),
            "path": path,
            "picture": picture(RGB),
        }[kind]
        np.testing.assert_array_equal(decode_image(content), RGB.transpose(2, 0, 1))


# Where row 0 and column 0 of the stored array are on the upright picture (EXIF 2.3, tag 0x0112).
ORIENTATIONS = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def upright(stored, orientation):
    row0, column0 = ORIENTATIONS[orientation]
    height, width = stored.shape[:2]
    swapped = row0 in ("left", "right")
    shown = np.empty((width, height, *stored.shape[2:]) if swapped else stored.shape, stored.dtype)
    for r in range(height):
        for c in range(width):
            at = {row0: r, column0: c}
            y = at["top"] if "top" in at else shown.shape[0] - 1 - at["bottom"]
            x = at["left"] if "left" in at else shown.shape[1] - 1 - at["right"]
            shown[y, x] = stored[r, c]
    return shown


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_exif_orientation(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(picture(RGB), format, exif=exif, **options)
    np.testing.assert_array_equal(decode_image(content), upright(RGB, orientation).transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_of_jpeg_and_of_16_bits(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    blocks = np.kron(np.array([[0, 50, 100], [150, 200, 250]], np.uint8), np.ones((16, 16), np.uint8))
    content = encoded(picture(blocks), "JPEG", quality=95, exif=exif)
    shown = upright(blocks, orientation)
    assert np.abs(decode_image(content, gray=True)[0].astype(int) - shown).max() <= 3
    deep = blocks.astype(np.uint16) * 257
    np.testing.assert_allclose(decode_image(encoded(picture(deep), exif=exif), gray=True)[0], shown / 255, atol=1e-6)


def test_damaged_exif_is_ignored():
    content = encoded(picture(RGB), exif=b"Exif\0\0this is no TIFF header")
    np.testing.assert_array_equal(decode_image(content), RGB.transpose(2, 0, 1))


PALETTE = RNG.integers(0, 256, (4, 3), dtype=np.uint8)
INDEX = RNG.integers(0, 4, (5, 7), dtype=np.uint8)


def palette_image():
    image = picture(INDEX, "P")
    image.putpalette(PALETTE.tobytes())
    return image


def test_palette():
    np.testing.assert_array_equal(decode_image(encoded(palette_image())), PALETTE[INDEX].transpose(2, 0, 1))


def test_palette_with_transparency():
    alpha = np.array([0, 255, 90, 200], np.uint8)
    pixels = decode_image(encoded(palette_image(), transparency=alpha.tobytes()))
    assert np.abs(pixels - over_white(PALETTE[INDEX], alpha[INDEX])).max() <= 1


def test_palette_with_one_transparent_colour():
    pixels = decode_image(encoded(palette_image(), transparency=2))
    expected = over_white(PALETTE[INDEX], np.where(INDEX == 2, 0, 255))
    np.testing.assert_array_equal(pixels, expected)


def test_colour_key_of_rgb_and_grey():
    key = tuple(int(v) for v in RGB[1, 2])
    hit = (RGB[1, 2] == RGB).all(-1)
    pixels = decode_image(encoded(picture(RGB), transparency=key))
    np.testing.assert_array_equal(pixels, over_white(RGB, np.where(hit, 0, 255)))
    pixels = decode_image(encoded(picture(GREY), transparency=int(GREY[0, 0])))
    np.testing.assert_array_equal(pixels, over_white(GREY, np.where(GREY[0, 0] == GREY, 0, 255)))


def test_grey_with_alpha():
    content = encoded(picture(np.dstack([GREY, ALPHA]), "LA"))
    assert np.abs(decode_image(content) - over_white(GREY, ALPHA)).max() <= 1
    assert np.abs(decode_image(content, gray=True)[0] - over_white(GREY, ALPHA)[0]).max() <= 1


def test_rgb_with_alpha():
    pixels = decode_image(encoded(picture(np.dstack([RGB, ALPHA]))))
    assert np.abs(pixels - over_white(RGB, ALPHA)).max() <= 1


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha(mode):
    # Enough alpha that undoing the multiplication loses no more than about one level.
    alpha = np.maximum(ALPHA, 128)
    colour = GREY if mode == "La" else RGB
    weight = alpha if mode == "La" else alpha[..., None]
    stored = np.dstack([np.rint(colour * (weight / 255)).astype(np.uint8), alpha])
    pixels = decode_image(picture(stored, mode))
    assert np.abs(pixels - over_white(colour, alpha)).max() <= 2


@pytest.mark.parametrize("format", ["TIFF", "JPEG"])
def test_cmyk(format):
    ink = np.kron(RNG.integers(0, 256, (2, 2, 4)), np.ones((16, 16, 1), int)).astype(np.uint8)
    options = {"quality": 100, "subsampling": 0} if format == "JPEG" else {}
    pixels = decode_image(encoded(picture(ink, "CMYK"), format, **options))
    light = 255 - ink.astype(float)
    expected = (light[..., :3] * light[..., 3:] / 255).transpose(2, 0, 1)
    assert np.abs(pixels - expected).max() <= (1 if format == "TIFF" else 4)


def test_lab_and_ycbcr_become_rgb():
    white_black = np.array([[[255, 128, 128], [0, 128, 128]]], np.uint8)
    assert np.abs(decode_image(picture(white_black, "YCbCr"))[:, 0] - [255.0, 0.0]).max() == 0
    neutral = np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8)
    for gray in (False, True):
        lab = decode_image(encoded(picture(neutral, "LAB"), "TIFF"), gray=gray)
        assert lab.shape == (1 if gray else 3, 1, 2)
        assert np.abs(lab[:, 0] - [255.0, 0.0]).max() <= 2


def test_bilevel():
    bits = INDEX > 1
    pixels = decode_image(encoded(Image.fromarray(bits)))
    np.testing.assert_array_equal(pixels, np.stack([np.where(bits, 255, 0)] * 3))
    assert pixels.dtype == np.uint8


SIXTEEN = np.array([[0, 1, 255, 256], [30000, 32768, 65534, 65535]], np.uint16)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "PPM", "JPEG2000"])
@pytest.mark.parametrize("gray", [False, True])
def test_16_bit_grey(format, gray):
    pixels = decode_image(encoded(picture(SIXTEEN), format), gray=gray)
    assert pixels.dtype == np.float32
    assert pixels.shape == (1 if gray else 3, 2, 4)
    np.testing.assert_allclose(pixels[-1], SIXTEEN / 65535, rtol=1e-6)


def test_16_bit_colour_key_is_white():
    pixels = decode_image(encoded(picture(SIXTEEN), transparency=30000), gray=True)
    expected = SIXTEEN / 65535
    expected[1, 0] = 1
    np.testing.assert_allclose(pixels[0], expected, rtol=1e-6)


def test_32_bit_integers():
    values = np.array([[0, 70], [256, 65535]], np.int32)
    pixels = decode_image(encoded(picture(values), "TIFF"), gray=True)
    np.testing.assert_allclose(pixels[0], values / 65535, rtol=1e-6)


@pytest.mark.parametrize("bad", [-1, 65536])
def test_32_bit_integers_out_of_range(bad):
    with pytest.raises(DataError, match=rf"{bad}.*0 to 65535; rescale"):
        decode_image(encoded(picture(np.array([[5, bad]], np.int32)), "TIFF"))


def test_floating_point():
    values = np.array([[0, 0.25], [0.5, 1]], np.float32)
    pixels = decode_image(encoded(picture(values), "TIFF"))
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, np.stack([values] * 3))


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan, np.inf])
def test_floating_point_out_of_range(bad):
    infinite = "must be finite, got (nan|inf) at channel 1, row 1, column 2"
    with pytest.raises(DataError, match=rf"\[0, 1\]; rescale|{infinite}"):
        decode_image(encoded(picture(np.array([[0.5, bad]], np.float32)), "TIFF"))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_an_animation(format):
    frames = [picture(np.full((4, 6, 3), value, np.uint8)) for value in (200, 20, 90)]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode_image(content), np.full((3, 4, 6), 200))


@pytest.mark.parametrize(
    ("size", "short", "expected"),
    [((40, 20), 10, (10, 20)), ((20, 40), 10, (20, 10)), ((40, 20), 50, (50, 100)), ((300, 1), 2, (2, 600))],
)
def test_resize_sets_the_short_side(size, short, expected):
    pixels = decode_image(encoded(Image.new("RGB", size, (10, 20, 30))), resize=short)
    assert pixels.shape == (3, *expected)
    np.testing.assert_array_equal(pixels, np.broadcast_to(np.array([10, 20, 30])[:, None, None], pixels.shape))


def test_resize_is_antialiased():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))  # at the Nyquist frequency
    small = decode_image(encoded(picture(stripes)), resize=16, gray=True)[0, :, 2:-2]
    assert np.abs(small.astype(int) - 127.5).max() < 8


def test_resize_of_deep_images_stays_in_range():
    edge = np.repeat(np.array([[0, 65535]], np.uint16), 32, axis=1).repeat(64, axis=0)
    pixels = decode_image(encoded(picture(edge)), resize=100)
    assert pixels.dtype == np.float32
    assert pixels.min() == 0
    assert pixels.max() == 1
    assert abs(pixels.mean() - 0.5) < 0.01


@pytest.mark.parametrize("resize", [0, -3])
def test_resize_must_be_positive(resize):
    with pytest.raises(OptionError, match="resize"):
        decode_image(encoded(picture(RGB)), resize=resize)


def test_resize_of_a_thread_like_image_is_refused():
    with pytest.raises(DataError, match="pixels after resizing"):
        decode_image(encoded(Image.new("L", (20000, 1))), resize=1000)


def bomb():
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + crc + b"\0\0\0\0IDAT\x35\xaf\x06\x1e"


NOISE = picture(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "^empty file$"),
        (b"just some text, renamed to .png", "^not an image that Pillow can read$"),
        (b"PK\x03\x04" + bytes(100), "not an image"),
        (encoded(NOISE, "JPEG")[:-1500], "^truncated: "),
        (encoded(NOISE)[:-1500], "truncated|decoded"),
        (encoded(NOISE, "TIFF")[:-1500], "truncated|decoded"),
        (encoded(NOISE, "BMP")[:-1500], "^truncated: "),
        (encoded(NOISE)[:200], "^the file is truncated$"),
        (encoded(NOISE)[:12], "not an image|decoded|truncated"),
        (bomb(), r"^larger than 179 Mpixel \(decompression bomb\?\)$"),
    ],
)
def test_bad_content(content, reason):
    with pytest.raises(DataError, match=reason):
        decode_image(content)


def test_postscript_is_not_run():
    with pytest.raises(DataError, match="PostScript"):
        decode_image(encoded(picture(RGB), "EPS"))


def test_memory_error_is_reported(monkeypatch):
    def load(image):
        raise MemoryError

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(DataError, match="memory"):
        decode_image(encoded(picture(RGB)))


def test_missing_file_folder_and_loop_of_links(tmp_path):
    os.symlink("loop.png", tmp_path / "loop.png")
    for name, reason in [("absent.png", "No such file"), (".", "directory"), ("loop.png", "symbolic links")]:
        with pytest.raises(DataError, match=reason):
            decode_image(tmp_path / name)


def test_asks_twice_before_giving_up(monkeypatch):
    """Another thread may be registering Pillow's rarer formats at the first time."""
    attempts = []

    def open_once_too_early(file):
        attempts.append(file)
        if len(attempts) == 1:
            raise UnidentifiedImageError
        return real_open(file)

    real_open = Image.open
    monkeypatch.setattr(Image, "open", open_once_too_early)
    np.testing.assert_array_equal(decode_image(encoded(picture(RGB))), RGB.transpose(2, 0, 1))


SEEDS = {
    "PNG": encoded(picture(RGB)),
    "GIF": encoded(palette_image(), "GIF"),
    "TIFF": encoded(picture(RGB), "TIFF"),
    "BMP": encoded(picture(RGB), "BMP"),
    "JPEG": encoded(picture(RGB), "JPEG"),
    "WEBP": encoded(picture(RGB), "WEBP"),
}


@settings(max_examples=150)
@given(st.sampled_from(sorted(SEEDS)), st.data())
def test_damage_is_a_data_error_or_pixels(format, data):
    content = bytearray(SEEDS[format])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode_image(bytes(content[: data.draw(st.integers(0, len(content)))]))
    except DataError as error:
        assert str(error)
    else:
        assert pixels.shape[0] == 3


def test_what_does_not_fit_into_the_memory_is_not_decoded(monkeypatch):
    content = encoded(Image.new("L", (3000, 2000)))
    assert decoding_memory(open_image(content)) >= 2 * 3000 * 2000
    monkeypatch.setattr(memory, "free_memory", lambda: 50_000_000)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(
        DataError, match=r"^decoding its 3000 x 2000 pixels needs about 0\.072 GB of memory, and 0\.05 GB"
    ):
        decode_image(content)
    small = encoded(Image.new("L", (300, 200)))
    assert decoding_memory(open_image(small), resize=2000) > decoding_memory(open_image(content))


@pytest.mark.parametrize(("format", "dtype"), [("PNG", np.uint16), ("TIFF", np.uint16), ("TIFF", np.float32)])
def test_the_memory_for_deep_grey_images(format, dtype):
    """Measured as the peak of a process: 14 to 16 bytes a pixel for decoding, 40 to 54 with adding the patches."""
    image = open_image(encoded(picture(np.ones((20, 30), dtype)), format))
    assert 16 * 600 <= decoding_memory(image) <= 20 * 600
    assert 54 * 600 <= decoding_memory(image) + using_memory(image, 16) <= 60 * 600
    assert using_memory(image, 16, resize=40) == 4 * using_memory(image, 16)
    assert using_memory(open_image(encoded(picture(RGB))), 16) == 16 * 35


def test_long_rows_are_read_in_blocks_as_long(monkeypatch):
    """In smaller blocks Pillow takes time that grows with the square of the length."""
    blocks = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: blocks.append(image.decodermaxblock) or load(image))
    assert decode_image(b"P6 100000 2 255 " + bytes(600_000)).shape == (3, 2, 100_000)
    assert blocks[0] >= 3 * 100_000


@pytest.mark.parametrize("content", [b"RIFF\0\0\0\0WAVEfmt " + bytes(40), bytes(344) + b"n+1\0" + bytes(40)])
def test_signals_and_volumes_point_to_their_command(content):
    with pytest.raises(DataError, match="not an image: ndtools signals reads it"):
        decode_image(content)
