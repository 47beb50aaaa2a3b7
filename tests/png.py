"""PNG files byte by byte, of kinds that Pillow does not write."""

import struct
import zlib


def png(size, bits, colour_type, lines, *, further=b""):
    """Content of a PNG file, from its size (width, height), the bytes of its lines, and the content of a tRNS chunk."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0),
        **({b"tRNS": further} if further else {}),
        b"IDAT": zlib.compress(b"".join(b"\0" + line for line in lines)),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
