"""A local web server with one file's worth of tricks, and the archives and checkpoints it serves."""

import contextlib
import http.server
import pathlib
import re
import tarfile
import threading
import time
import urllib.parse

import numpy as np


class ArchiveServer:
    """Serves `files` by name and behaves badly on demand.

    Attributes:
        files: dict from name to bytes.
        etags: dict from name to `ETag`; names without one have none.
        requests: list of (name, `Range` header or `None`), in order.
        statuses: list of status codes to answer with first; `None` is an answer as usual.
        cuts: list of numbers of bytes after which to cut the next answers.
        ranges: bool. Whether ranges are understood.
        headers: dict of further headers of every answer.
        delay: float. Seconds between pieces of 64 KiB.
    """

    def __init__(self):
        self.files, self.etags, self.headers = {}, {}, {}
        self.requests, self.statuses, self.cuts = [], [], []
        self.ranges, self.delay = True, 0.0
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, name):
        return f"{self.address}/{name}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler):
        name = urllib.parse.urlsplit(handler.path).path.strip("/")
        wanted = handler.headers.get("Range")
        self.requests.append((name, wanted))
        status = self.statuses.pop(0) if self.statuses else None
        if status or name not in self.files:
            handler.send_response(status or 404)
            self._end_without_content(handler)
            return
        content, etag = self.files[name], self.etags.get(name)
        condition = handler.headers.get("If-Range")
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
        partial = bool(wanted) and self.ranges and condition in (None, etag)
        if partial and start >= len(content):
            handler.send_response(416)
            self._end_without_content(handler)
            return
        handler.send_response(206 if partial else 200)
        start = start if partial else 0
        if partial:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        self._end_headers(handler, {"ETag": etag, **self.headers})
        end = start + self.cuts.pop(0) if self.cuts else len(content)
        with contextlib.suppress(ConnectionError):
            for position in range(start, min(end, len(content)), 2**16):
                handler.wfile.write(content[position : min(position + 2**16, end)])
                time.sleep(self.delay)

    def _end_without_content(self, handler):
        self._end_headers(handler, {"Content-Length": "0", **self.headers})

    def _end_headers(self, handler, headers):
        for header, value in headers.items():
            if value is not None:
                handler.send_header(header, value)
        handler.end_headers()


@contextlib.contextmanager
def serve(monkeypatch):
    """A server, with nothing in the environment that leads around it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HF_HUB_OFFLINE", "KERAS_DEEPLAB_ARCHIVES"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    server = ArchiveServer()
    try:
        yield server
    finally:
        server.close()


def pack(folder, archive):
    """A tar.gz with a folder in it, as DeepLab2 publishes its checkpoints."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as members:
        members.add(folder, pathlib.Path(folder).name)
    return archive


def write_object_checkpoint(prefix, arrays, **others):
    """Lets TensorFlow write an object-graph checkpoint with the keys of a dict.

    Args:
        prefix: path, e.g. `folder / "ckpt-1"`.
        arrays: dict from key, without TensorFlow's ending, to array.
        **others: trackable objects to write beside them.
    """
    import tensorflow as tf

    root = tf.train.Checkpoint(**others)
    for key, array in arrays.items():
        node = root
        *path, leaf = key.split("/")
        for name in path:
            if not hasattr(node, name):
                setattr(node, name, tf.Module())
            node = getattr(node, name)
        setattr(node, leaf, tf.Variable(array))
    root.write(str(prefix))


def write_name_based_checkpoint(prefix, arrays):
    """Lets TensorFlow write a checkpoint as TensorFlow 1 did: names and nothing else."""
    import tensorflow as tf

    names = list(arrays)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(np.asarray(arrays[name])) for name in names],
    )


def folder_content(folder):
    """Dict from relative path to bytes of everything in a folder but locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != "locks"
    }
