"""Unpacking archives from elsewhere: harmless ones whole, others not at all."""

import errno
import gzip
import io
import os
import random
import shutil
import stat
import tarfile

import pytest

from keras_deeplab.hub import archive as module
from keras_deeplab.hub.archive import unpack
from tests.archive_server import folder_content, pack

NOISE = random.Random(0).randbytes(300_000)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "unpacked" / "checkpoint"


def member(name, kind=tarfile.REGTYPE, link="", size=0):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def write(path, *members, mode="w:gz", **options):
    """An archive of pairs of `TarInfo` and content; a harmless file comes first."""
    with tarfile.open(path, mode, **options) as archive:
        for info, content in [(member("run/ckpt-1.index", size=5), b"index"), *members]:
            archive.addfile(info, io.BytesIO(content))
    return path


def refuse(path, target, message):
    """Unpacking fails, names the archive, and leaves nothing."""
    with pytest.raises(ValueError, match=message) as error:
        unpack(path, target)
    assert repr(str(path)) in str(error.value)
    assert list(target.parent.iterdir()) == []
    return str(error.value)


@pytest.mark.parametrize("mode", ["w:gz", "w"])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_files_and_folders_are_unpacked(tmp_path, target, mode, form):
    long = "x" * 90 + "/" + "y" * 90
    path = write(
        tmp_path / "a.tar.gz", (member("./empty", tarfile.DIRTYPE), b""), (member(long, size=300_000), NOISE),
        mode=mode, format=form,
    )  # fmt: skip
    unpack(path, target)
    assert folder_content(target) == {"run/ckpt-1.index": b"index", long: NOISE}
    assert (target / "empty").is_dir()
    assert [p.name for p in target.parent.iterdir()] == ["checkpoint"]


def test_nothing_becomes_executable_for_others(tmp_path, target):
    info = member("tool", size=1)
    info.mode = 0o6777
    unpack(write(tmp_path / "a.tar.gz", (info, b"x")), target)
    assert stat.S_IMODE((target / "tool").stat().st_mode) & 0o6022 == 0


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (member("/tmp/evil"), "absolute path"),
        (member("\\evil"), "absolute path"),
        (member("C:/evil"), "absolute path"),
        (member("../evil"), "leads out of the folder"),
        (member("run/../../evil"), "leads out of the folder"),
        (member("run\\..\\..\\evil"), "leads out of the folder"),
        (member("evil", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (member("evil", tarfile.SYMTYPE, "run/ckpt-1.index"), "is a link"),
        (member("evil", tarfile.LNKTYPE, "run/ckpt-1.index"), "is a link"),
        (member("evil", tarfile.CHRTYPE), "neither a file nor a folder"),
        (member("evil", tarfile.BLKTYPE), "neither a file nor a folder"),
        (member("evil", tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
    ids=lambda value: f"{value.name} {value.type.decode()}" if isinstance(value, tarfile.TarInfo) else "",
)
def test_what_could_do_harm_is_refused(tmp_path, target, info, message):
    path = write(tmp_path / "a.tar.gz", (info, b""))
    assert repr(info.name) in refuse(path, target, f"Refused .*{message}")


def test_a_file_below_a_file_is_refused(tmp_path, target):
    refuse(write(tmp_path / "a.tar.gz", (member("run/ckpt-1.index/x"), b"")), target, "ckpt-1.index/x")


def test_a_bomb_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(module, "_HARMLESS_BYTES", 10**6)
    path = write(tmp_path / "a.tar.gz", (member("zeros", size=10**7), bytes(10**7)))
    assert path.stat().st_size < 20_000
    assert "'zeros'" in refuse(path, target, "unpacks to more than .* bytes")


def test_a_bomb_of_many_pieces_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(module, "_HARMLESS_BYTES", 10**6)
    pieces = [(member(f"zeros{i}", size=10**5), bytes(10**5)) for i in range(40)]
    refuse(write(tmp_path / "a.tar.gz", *pieces), target, "unpacks to more than .* bytes")


def test_a_bomb_after_the_end_is_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(module, "_HARMLESS_BYTES", 10**6)
    path = write(tmp_path / "a.tar.gz")
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(10**7)))
    refuse(path, target, "unpacks to more than .* bytes")


def test_a_bomb_in_a_header_is_refused(tmp_path, target):
    info = member("x")
    info.pax_headers = {"comment": "0" * 2 * 10**6}
    path = write(tmp_path / "a.tar.gz", (info, b""), format=tarfile.PAX_FORMAT)
    refuse(path, target, "header of")


def test_a_hole_of_terabytes_is_refused(tmp_path, target):
    path = tmp_path / "a.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(member("hole", size=2**42).tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    refuse(path, target, "unpacks to more than .* bytes")


def test_small_zeros_are_no_bomb(tmp_path, target):
    unpack(write(tmp_path / "a.tar.gz", (member("zeros", size=10**7), bytes(10**7))), target)
    assert (target / "zeros").stat().st_size == 10**7


def test_an_absolute_limit(tmp_path, target, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 200_000)
    path = write(tmp_path / "a.tar.gz", (member("noise", size=300_000), NOISE))
    refuse(path, target, "more than 200000 bytes")


def test_too_many_members_are_refused(tmp_path, target, monkeypatch):
    monkeypatch.setattr(module, "MAX_MEMBERS", 20)
    path = write(tmp_path / "a.tar.gz", *((member(f"{i}"), b"") for i in range(20)))
    refuse(path, target, "more than 20 members")


@pytest.mark.parametrize("kept", [0.999, 0.7, 0.1])
def test_a_truncated_archive(tmp_path, target, kept):
    path = write(tmp_path / "a.tar.gz", (member("noise", size=300_000), NOISE))
    os.truncate(path, int(path.stat().st_size * kept))
    refuse(path, target, "damaged .*noise.*|damaged from the start|damaged .*ckpt-1.index")


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_damaged_archive(tmp_path, target, place):
    path = write(tmp_path / "a.tar.gz", (member("noise", size=300_000), NOISE), (member("last"), b""))
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 255
    path.write_bytes(content)
    refuse(path, target, "is damaged")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x1f\x8b", b"<html>404</html>", gzip.compress(b"no tar"), gzip.compress(NOISE), NOISE],
    ids=["empty", "two bytes", "page", "packed text", "packed noise", "noise"],
)
def test_what_is_no_tar(tmp_path, target, content):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    refuse(path, target, "is damaged from the start, or no tar archive")


def test_no_archive(tmp_path, target):
    refuse(tmp_path / "absent.tar.gz", target, "No such file")


def test_a_full_disk_is_not_the_archives_fault(tmp_path, target, monkeypatch):
    path = write(tmp_path / "a.tar.gz", (member("noise", size=300_000), NOISE))

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tarfile.TarFile, "makefile", fail)
    with pytest.raises(OSError, match=r"Cannot unpack .*a\.tar\.gz.*No space left"):
        unpack(path, target)
    assert list(target.parent.iterdir()) == []


def test_an_existing_folder_is_not_mixed_with(tmp_path, target):
    target.mkdir(parents=True)
    (target / "mine").write_text("")
    with pytest.raises(OSError, match="not empty"):
        unpack(write(tmp_path / "a.tar.gz"), target)
    assert [p.name for p in target.iterdir()] == ["mine"]


def test_a_packed_folder_comes_back(tmp_path, target):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "ckpt-1.index").write_bytes(NOISE)
    archive = pack(folder, tmp_path / "run.tar.gz")
    shutil.rmtree(folder)
    unpack(archive, target)
    assert folder_content(target) == {"run/ckpt-1.index": NOISE}
