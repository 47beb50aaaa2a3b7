"""Files of small data sets with labels, and a server of them."""

import gzip
import hashlib
import http.server
import threading
from collections import Counter
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from ndtools.data.labelled.catalogue import KNOWN, Download

IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array):
    array = np.asarray(array, dtype=np.uint8)
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()


def idx_contents(seed=0, side=4, n_train=30, n_test=10, n_classes=10):
    rng = np.random.default_rng(seed)
    return {
        IDX_NAMES[0]: idx(rng.integers(0, 256, (n_train, side, side))),
        IDX_NAMES[1]: idx(np.arange(n_train) % n_classes),
        IDX_NAMES[2]: idx(rng.integers(0, 256, (n_test, side, side))),
        IDX_NAMES[3]: idx(np.arange(n_test) % n_classes),
    }


def put(folder, contents, spelling="{}", compress=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        name = spelling.format(name) + (".gz" if compress else "")
        (folder / name).write_bytes(gzip.compress(content, 1) if compress else content)
    return folder


PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
LABELS = [3, 0, 9, 3]


def records(pixels=PIXELS, labels=LABELS, coarse=None):
    """Contents of a binary CIFAR file."""
    columns = [np.array(labels)[:, None], pixels]
    if coarse is not None:
        columns.insert(0, np.array(coarse)[:, None])
    return np.concatenate(columns, axis=1).astype(np.uint8).tobytes()


class Server:
    """Serves bytes by path; `broken` paths end half-way; counts the requests."""

    def __init__(self):
        self.content, self.broken, self.endless, self.requests = {}, set(), set(), Counter()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests[self.path] += 1
                content = outer.content.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                if self.path not in outer.endless:
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.path in outer.broken:
                    content = content[: len(content) // 2]
                if self.path in outer.endless:
                    try:
                        while True:
                            self.wfile.write(content)
                    except OSError:
                        return
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # clients that hang up
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def md5(content):
    return hashlib.md5(content).hexdigest()


def serve_mnist(server, mirrors=("a", "b")):
    """Put a small MNIST on a server; return the entry for the catalogue."""
    contents = idx_contents(side=40)
    packed = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in contents.items()}
    for mirror in mirrors:
        server.content |= {f"/{mirror}/{name}": content for name, content in packed.items()}
    urls = tuple(f"{server.url}/{mirror}" for mirror in mirrors)
    return replace(
        KNOWN["mnist"],
        md5=MappingProxyType({name: md5(content) for name, content in contents.items()}),
        downloads=tuple(Download(name, md5(content), len(content), urls) for name, content in packed.items()),
    )
