"""Downloads large files: with progress, and on from where an earlier attempt stopped."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import math
import os
import pathlib
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from keras_deeplab.progress import progress_bar
from keras_deeplab.version import __version__

# Seconds between attempts. An attempt that gets further than all before it starts the row anew.
RETRY_DELAYS = (1, 2, 4, 8)
# The longest that a server may ask to wait.
_LONGEST_DELAY = 60
# Seconds without a byte.
TIMEOUT = 30
_CHUNK = 2**18
_IDENTITY = ("etag", "last_modified", "length", "start")
_WORTH_ANOTHER_TRY = {408, 425, 429, 500, 502, 503, 504}


def download(url: str, path: str | os.PathLike) -> pathlib.Path:
    """Downloads a file, which appears under its name once it is complete.

    What has arrived lies in `<path>.part` meanwhile, and beside it what the server said about the file. The
    next call continues there if the server still has the same file (`ETag`, `Last-Modified` and length).
    Lost connections and busy servers are tried again, with growing pauses. Proxies come from the environment
    (`HTTPS_PROXY`, `NO_PROXY`).

    Args:
        url: str, `http://` or `https://`.
        path: path of the file. Its folder is made when missing.

    Returns:
        The path.

    Raises:
        ValueError: when the file cannot be had, does not fit on the disk, or does not have the length or the
            checksum that the server announced. The message names URL, file and the way out.

    Example:
    ```python
    download("https://example.org/checkpoint.tar.gz", "checkpoint.tar.gz")
    ```
    """
    path = pathlib.Path(path)
    part = path.with_name(f"{path.name}.part")
    try:
        if not url.startswith(("http://", "https://")):
            raise _RefusedError("only http and https are spoken here")
        path.parent.mkdir(parents=True, exist_ok=True)
        _transfer_with_retries(url, part)
        os.replace(part, path)
    except (_RefusedError, OSError) as error:
        kept = f" The {_size(part)} bytes so far are kept, and the next try continues there." * (
            _size(part) > 0
        )
        raise ValueError(
            f"Cannot download {url} to {str(path)!r}: {error}.{kept} "
            f"A file that was fetched in another way can be placed there by hand."
        ) from error
    _memory(part).unlink(missing_ok=True)
    return path


class _RefusedError(Exception):
    """The transfer cannot succeed."""


class _InterruptedError(Exception):
    """The transfer failed in a way that another attempt may not; `delay` is what the server asks to wait."""

    def __init__(self, reason, delay=0):
        super().__init__(reason)
        self.delay = min(delay, _LONGEST_DELAY)


def _transfer_with_retries(url, part):
    delays, furthest = iter(RETRY_DELAYS), _size(part)
    while True:
        try:
            return _transfer(url, part)
        except _InterruptedError as error:
            if _size(part) > furthest:
                delays, furthest = iter(RETRY_DELAYS), _size(part)
            delay = next(delays, None)
            if delay is None:
                raise _RefusedError(str(error)) from error
            time.sleep(max(delay, error.delay))


def _transfer(url, part):
    """One attempt to complete the partial file."""
    known = _recall(url, part)
    start = _size(part) if known else 0
    if not (known and start == known["length"]):
        with _ask(url, start, known) as response:
            told = _describe(url, response)
            if response.status == 206 and start:
                if any(told[fact] != {**known, "start": start}[fact] for fact in _IDENTITY):
                    # It is another file by now; from the beginning the server sends it whole.
                    _discard(part)
                    return _transfer(url, part)
            elif response.status == 200:
                start, known = 0, told
            else:
                raise _RefusedError(f"the server says {response.status} {response.reason}")
            _check_room(part, known["length"], start)
            with open(part, "ab" if start else "wb") as file:
                _remember(known, part)
                _receive(response, file, part.name.removesuffix(".part"), known["length"], start)
    _check(part, known)


def _ask(url, start, known):
    headers = {"User-Agent": f"keras-deeplab/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        strong = known["etag"] and not known["etag"].startswith("W/")
        headers["If-Range"] = known["etag"] if strong else known["last_modified"] or ""
        headers = {name: value for name, value in headers.items() if value}
    try:
        # An opener of its own reads the proxies of now, `urlopen` those of its first call.
        opener = urllib.request.build_opener()
        return opener.open(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            # The server's file is shorter than what is here: this is of another one.
            return _ask(url, 0, known)
        reason = f"the server says {error.code} {error.reason}"
        if error.code not in _WORTH_ANOTHER_TRY:
            raise _RefusedError(reason) from error
        after = error.headers.get("Retry-After") or ""
        raise _InterruptedError(reason, int(after) if after.isdecimal() else 0) from error
    except (OSError, http.client.HTTPException) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise _RefusedError(f"the server's certificate is not trusted ({cause})") from error
        raise _InterruptedError(f"no connection ({cause})") from error


def _describe(url, response):
    """What tells one file from another, and what its bytes are checked with."""
    headers = response.headers
    length, start = headers.get("Content-Length"), 0
    if response.status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        start, length = span.groups() if span else (-1, None)
    # Google's storage sends checksums as "crc32c=...,md5=...", in one header or in two.
    md5 = re.search(r"md5=([\w+/=]+)", ",".join(headers.get_all("x-goog-hash", [])))
    return {
        "url": url,
        "etag": headers.get("ETag"),
        "last_modified": headers.get("Last-Modified"),
        "length": None if length is None else int(length),
        "md5": md5 and md5[1],
        "start": int(start),
    }


def _receive(response, file, name, length, start):
    total = None if length is None else math.ceil((length - start) / _CHUNK)
    size = "" if length is None else f" ({length / 1e6:,.0f} MB)"
    for chunk in progress_bar(_chunks(response), total, f"Downloading {name}{size}"):
        file.write(chunk)


def _chunks(response) -> Iterator[bytes]:
    try:
        while chunk := response.read(_CHUNK):
            yield chunk
    except http.client.IncompleteRead as error:
        yield error.partial
        raise _InterruptedError("the connection was lost") from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(f"the connection was lost ({error or type(error).__name__})") from error


def _check_room(part, length, start):
    free = shutil.disk_usage(part.parent).free
    needed = (length or 0) - start
    if needed > free:
        raise _RefusedError(f"the disk is full: {needed} more bytes are needed, {free} are free")


def _check(part, known):
    length = known["length"]
    if length is not None and _size(part) < length:
        raise _InterruptedError(f"the connection was lost after {_size(part)} of {length} bytes")
    wrong = length is not None and _size(part) > length
    if not wrong and known["md5"]:
        with open(part, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        wrong = base64.b64encode(digest).decode() != known["md5"]
    if wrong:
        _discard(part)
        raise _InterruptedError("what arrived does not have the length or checksum that the server announced")


def _memory(part):
    return part.with_name(f"{part.name}.json")


def _remember(known, part):
    _memory(part).write_text(json.dumps(known), encoding="utf-8")


def _recall(url, part):
    """What the server said about the partial file; empty if the two do not belong together for sure."""
    try:
        known = json.loads(_memory(part).read_text(encoding="utf-8"))
        same = known["url"] == url and (known["etag"] or known["last_modified"])
        fits = known["length"] is None or _size(part) <= known["length"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return known if same and fits and _size(part) else {}


def _discard(part):
    part.unlink()
    _memory(part).unlink(missing_ok=True)


def _size(path):
    return path.stat().st_size if path.is_file() else 0
