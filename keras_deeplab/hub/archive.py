"""Unpacks archives that come from elsewhere."""

from __future__ import annotations

import errno
import gzip
import os
import pathlib
import shutil
import tarfile
import tempfile
import zlib

MAX_MEMBERS = 10_000
# The largest network has 2.3 GB of weights, thrice that with an optimizer's state.
MAX_BYTES = 30 * 2**30
# Weights hardly shrink; an archive that unpacks to more than this many times its size is a bomb,
MAX_RATIO = 100
# but small ones may: there are zeros in fresh networks.
_HARMLESS_BYTES = 2**26
# The archive may be as it should be.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
# tarfile reads headers, which may claim any length, in one piece; contents in small ones.
_LONGEST_READ = 2**20


def unpack(archive: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Unpacks a tar archive, compressed by gzip or plain, into a new folder.

    Only files and folders are let through, and only to places inside the folder. The folder appears once all
    of it is unpacked, and not at all if something is wrong.

    Args:
        archive: path of the file.
        folder: path that does not exist yet, or is an empty folder.

    Raises:
        ValueError: for a damaged archive, one with links, devices or places outside of the folder, and one
            that unpacks to too much. The message names archive and member.
        OSError: when the disk is full.

    Example:
    ```python
    unpack("checkpoint.tar.gz", "checkpoint")
    ```
    """
    archive, folder = pathlib.Path(archive), pathlib.Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _unpack_members(archive, temporary)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack_members(archive, folder):
    name = None
    try:
        with open(archive, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            stream = _LimitedStream(
                gzip.GzipFile(fileobj=file) if packed else file,
                min(MAX_BYTES, max(MAX_RATIO * size, _HARMLESS_BYTES)),
            )
            with tarfile.open(fileobj=stream, mode="r:") as members:
                for count, member in enumerate(members, start=1):
                    name = member.name
                    if count > MAX_MEMBERS:
                        raise _RefusedError(f"there are more than {MAX_MEMBERS} members")
                    _check_member(member, stream.max_bytes)
                    members.extract(member, folder, filter="data")
            # The checksum of the whole comes last, and tarfile takes some damage for the end.
            while stream.read(_LONGEST_READ):
                pass
    except (_RefusedError, tarfile.FilterError) as error:
        raise ValueError(f"Refused to unpack {str(archive)!r}: {error}. Member: {name!r}") from error
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        place = f"at member {name!r} or after it" if name else "from the start, or no tar archive"
        raise ValueError(f"The archive {str(archive)!r} is damaged {place}: {error}") from error
    except OSError as error:
        message = f"Cannot unpack {str(archive)!r}, member {name!r}: {error}"
        raise (OSError if error.errno in _DISK_ERRORS else ValueError)(message) from error


class _RefusedError(Exception):
    """The archive is not harmless."""


def _check_member(member, max_bytes):
    parts = member.name.replace("\\", "/").split("/")
    if not parts[0] or parts[0].endswith(":"):
        raise _RefusedError("it has an absolute path")
    if ".." in parts:
        raise _RefusedError("it leads out of the folder")
    if member.issym() or member.islnk():
        raise _RefusedError("it is a link")
    if not (member.isreg() or member.isdir()):
        raise _RefusedError("it is neither a file nor a folder")
    if member.size > max_bytes:
        raise _RefusedError(f"it unpacks to more than {max_bytes} bytes")


class _LimitedStream:
    """An archive's unpacked bytes, of which there may not be more than a limit."""

    def __init__(self, stream, max_bytes):
        self.stream = stream
        self.max_bytes = max_bytes

    def read(self, size):
        if size > _LONGEST_READ:
            raise _RefusedError(f"it has a header of {size} bytes")
        data = self.stream.read(size)
        self._check(self.stream.tell())
        return data

    def seek(self, position):
        self._check(position)
        return self.stream.seek(position)

    def tell(self):
        return self.stream.tell()

    def _check(self, position):
        if position > self.max_bytes:
            raise _RefusedError(f"it unpacks to more than {self.max_bytes} bytes")
