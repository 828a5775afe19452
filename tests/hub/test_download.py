"""Downloads against a local server that loses connections, is busy, changes files and misleads."""

import base64
import errno
import hashlib
import io
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time
import types

import pytest

from keras_deeplab.hub import download as module
from keras_deeplab.hub.download import download
from tests.archive_server import serve

CONTENT = random.Random(0).randbytes(1_500_000)
NAME = "weights.tar.gz"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(module, "RETRY_DELAYS", (0.01, 0.01))
    with serve(monkeypatch) as server:
        server.files[NAME], server.etags[NAME] = CONTENT, '"one"'
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "downloads" / NAME


def files_beside(path):
    return sorted(p.name for p in path.parent.iterdir())


def interrupt(server, path, size):
    """Leaves a partial file of `size` bytes."""
    server.cuts, server.statuses = [size], [None, 500, 500]
    with pytest.raises(ValueError, match="500"):
        download(server.url(NAME), path)
    server.requests.clear()
    assert path.with_name(f"{NAME}.part").stat().st_size == size


def test_a_file_arrives_whole_and_alone(server, path):
    assert download(server.url(NAME), path) == path
    assert path.read_bytes() == CONTENT
    assert files_beside(path) == [NAME]
    assert server.requests == [(NAME, None)]


def test_an_empty_file_arrives(server, path):
    server.files[NAME] = b""
    assert download(server.url(NAME), path).read_bytes() == b""


def test_a_lost_connection_goes_on_where_it_stopped(server, path):
    server.cuts = [400_000, 300_000]
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [(NAME, None), (NAME, "bytes=400000-"), (NAME, "bytes=700000-")]


def test_progress_renews_the_patience(server, path):
    server.cuts = [200_000] * 7
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 8


def test_without_ranges_the_file_starts_over_but_not_for_ever(server, path):
    server.ranges, server.cuts = False, [400_000, 300_000]
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    server.cuts, server.requests[:] = [400_000] * 99, []
    with pytest.raises(ValueError, match="connection was lost after 400000 of 1500000 bytes"):
        download(server.url(NAME), path.with_name("again"))
    assert len(server.requests) == 3


def test_a_later_call_continues(server, path):
    interrupt(server, path, 400_000)
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [(NAME, "bytes=400000-")]
    assert files_beside(path) == [NAME]


def test_a_complete_partial_file_needs_no_request(server, path, monkeypatch):
    monkeypatch.setattr(module.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("stop")))
    with pytest.raises(ValueError, match="stop"):
        download(server.url(NAME), path)
    monkeypatch.undo()
    server.requests.clear()
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize("size", [1_500_000, 1_000_000, 300_000])
def test_a_changed_file_starts_over(server, path, size):
    interrupt(server, path, 400_000)
    server.files[NAME], server.etags[NAME] = CONTENT[::-1][:size], '"two"'
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT[::-1][:size]


def test_a_changed_file_is_noticed_when_the_server_ignores_the_condition(server, path, monkeypatch):
    interrupt(server, path, 400_000)
    server.files[NAME] = CONTENT[::-1]
    server.headers = {"ETag": '"two"'}  # sent in place of the one that conditions are compared with
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT[::-1]
    assert server.requests == [(NAME, "bytes=400000-"), (NAME, None)]


def test_a_date_identifies_a_file_too(server, path):
    server.etags, server.headers = {}, {"Last-Modified": "Tue, 01 Jun 2021 00:00:00 GMT"}
    server.etags[NAME] = None
    server.cuts = [400_000]
    answer = server.answer

    def check(handler):
        if handler.headers.get("Range"):
            assert handler.headers["If-Range"] == "Tue, 01 Jun 2021 00:00:00 GMT"
            del handler.headers["If-Range"]
        answer(handler)

    server.answer = check
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert server.requests[1] == (NAME, "bytes=400000-")


def test_without_identity_a_partial_file_is_not_continued(server, path):
    server.etags = {}
    interrupt(server, path, 400_000)
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert server.requests == [(NAME, None)]


def test_another_url_is_another_file(server, path):
    interrupt(server, path, 400_000)
    server.files["other"], server.etags["other"] = CONTENT[::-1], '"one"'
    download(server.url("other"), path)
    assert path.read_bytes() == CONTENT[::-1]
    assert server.requests == [("other", None)]


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b'{"url": 1}'])
def test_a_damaged_note_beside_the_partial_file_starts_over(server, path, note):
    interrupt(server, path, 400_000)
    path.with_name(f"{NAME}.part.json").write_bytes(note)
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(server, path):
    server.statuses = [503, 429]
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("wish", "pause"), [("7", 7), ("100000", 60), ("Tue, 01 Jun 2021 00:00:00 GMT", 0.01)]
)
def test_a_server_may_ask_for_a_pause(server, path, monkeypatch, wish, pause):
    pauses = []
    monkeypatch.setattr(module, "time", types.SimpleNamespace(sleep=pauses.append))
    server.statuses, server.headers = [503], {"Retry-After": wish}
    download(server.url(NAME), path)
    assert pauses == [pause]


def test_an_error_names_url_file_and_the_way_out(server, path):
    server.statuses = [503] * 9
    with pytest.raises(ValueError, match="the server says 503 Service Unavailable") as error:
        download(server.url(NAME), path)
    assert server.url(NAME) in str(error.value)
    assert repr(str(path)) in str(error.value)
    assert "placed there by hand" in str(error.value)
    assert len(server.requests) == 3


def test_what_is_not_there_is_asked_for_once(server, path):
    with pytest.raises(ValueError, match="404 Not Found"):
        download(server.url("absent"), path)
    assert server.requests == [("absent", None)]
    assert files_beside(path) == []


def test_no_server(path, server):
    server.close()
    with pytest.raises(ValueError, match=r"no connection \(.*refused"):
        download(server.url(NAME), path)


def test_a_silent_server(server, path, monkeypatch):
    monkeypatch.setattr(module, "TIMEOUT", 0.1)
    server.delay = 2
    with pytest.raises(ValueError, match=r"connection was lost \(.*timed out"):
        download(server.url(NAME), path)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://example.org/x", "weights"])
def test_other_protocols_are_refused(path, url):
    with pytest.raises(ValueError, match="only http and https"):
        download(url, path)


def md5(content):
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_the_servers_checksum_is_checked(server, path):
    server.headers = {"x-goog-hash": f"crc32c=AAAAAA==,md5={md5(CONTENT)}"}
    server.cuts = [400_000]
    assert download(server.url(NAME), path).read_bytes() == CONTENT
    server.headers = {"x-goog-hash": f"md5={md5(b'another')}"}
    with pytest.raises(ValueError, match="does not have the length or checksum"):
        download(server.url(NAME), path.with_name("again"))
    assert files_beside(path) == [NAME]


def test_a_full_disk_is_said_before(server, path, monkeypatch):
    usage = module.shutil.disk_usage(pathlib.Path.cwd())._replace(free=1000)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="disk is full: 1500000 more bytes are needed, 1000 are free"):
        download(server.url(NAME), path)
    assert len(server.requests) == 1


def test_a_disk_that_fills_up_keeps_what_there_is(server, path, monkeypatch):
    receive = module._receive

    class FullDisk:
        def __init__(self, file):
            self.file, self.room = file, 3

        def write(self, chunk):
            self.room -= 1
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file.write(chunk)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_receive", lambda r, file, *rest: receive(r, FullDisk(file), *rest))
        with pytest.raises(ValueError, match=r"No space left on device.* 786432 bytes so far are kept"):
            download(server.url(NAME), path)
    server.requests.clear()
    assert download(server.url(NAME), path).read_bytes() == CONTENT
    assert server.requests == [(NAME, "bytes=786432-")]


def test_proxies_come_from_the_environment(server, path, monkeypatch):
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    download(f"http://archives.invalid/{NAME}", path)
    assert path.read_bytes() == CONTENT


def test_progress_is_for_terminals(server, path, capsys, monkeypatch):
    download(server.url(NAME), path)
    assert capsys.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", "120")
    download(server.url(NAME), path)
    assert re.search(r"Downloading weights.tar.gz \(2 MB\).*100%", sys.stderr.getvalue())


def test_a_killed_process_is_continued(server, path):
    server.delay = 0.05
    script = f"from keras_deeplab.hub.download import download; download({server.url(NAME)!r}, {str(path)!r})"
    process = subprocess.Popen([sys.executable, "-c", script])
    part = path.with_name(f"{NAME}.part")
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size > 300_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    arrived = part.stat().st_size
    assert 0 < arrived < len(CONTENT)
    assert not path.exists()
    server.delay = 0
    download(server.url(NAME), path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1] == (NAME, f"bytes={arrived}-")
