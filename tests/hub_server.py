"""A Hugging Face Hub in memory, on 127.0.0.1, that the real `huggingface_hub` client talks to.

It speaks what the client needs to create, fill, list and read model repositories: JSON on `/api`, git-LFS
for large files, and files with ranges. Repositories are git-like: every commit is a whole tree that never
changes, and branches and tags point at commits. `tests/conftest.py` starts one for all tests, since the
client reads the address once, when it is imported; `hub.reset()` empties it.

```python
with HubServer() as hub:
    HfApi(endpoint=hub.url, token="hf_me").create_repo("me/model")
```
"""

from __future__ import annotations

import base64
import collections
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

LFS_SIZE = 10 * 1024
LFS_ENDINGS = (".h5", ".png", ".safetensors")


class Repository:
    """Commits and the names that point at them."""

    def __init__(self, private=False, gated=False):
        self.private, self.gated = private, gated
        self.trees, self.names, self.titles = {}, {}, []
        self.commit({}, "initial commit")

    def commit(self, tree, title):
        """Puts a tree `{path: bytes}` on `main`; returns the commit's id."""
        commit_id = hashlib.sha1(f"{len(self.trees)} {title} {sorted(tree)}".encode()).hexdigest()
        self.trees[commit_id] = dict(tree)
        self.names["main"] = commit_id
        self.titles.append(title)
        return commit_id

    def find(self, revision):
        """The id of a commit, branch or tag; `None` when there is none."""
        commit_id = self.names.get(revision, revision)
        return commit_id if commit_id in self.trees else None

    @property
    def files(self):
        """The tree of `main`."""
        return self.trees[self.names["main"]]


class HubServer(http.server.ThreadingHTTPServer):
    """See the module.

    Attributes:
        url: str. Address for `HF_ENDPOINT`.
        user: str. Who the bearer of any token is.
        repositories: dict from `"owner/name"` to `Repository`.
        objects: dict from SHA-256 to content, of git-LFS.
        requests: list of `(method, path)`, in order of arrival.
    """

    daemon_threads = True

    def __init__(self, user="me"):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.user = user
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.reset()

    def reset(self):
        """Forgets everything."""
        self.repositories, self.objects, self.requests = {}, {}, []
        self._failures = collections.deque()

    def start(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def fail(self, method, path, status, times=1):
        """Answers the next requests of a method to paths that match a pattern with a status."""
        self._failures.extend([(method, re.compile(path), status)] * times)

    def failure(self, method, path):
        """The status to fail a request with, or `None`."""
        for failure in self._failures:
            if failure[0] == method and failure[1].search(path):
                self._failures.remove(failure)
                return failure[2]
        return None

    def paths(self, method):
        """The paths that a method has asked for."""
        return [path for used, path in self.requests if used == method]

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _RefusedError(Exception):
    """An answer that is an error, with the code that tells the client which."""

    def __init__(self, status, code=None, message="refused"):
        super().__init__(message)
        self.status, self.code = status, code


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Keeps the tests' output clean."""

    def _serve(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        # Read before any answer: what is left would be taken for the next request.
        self.content = self._read()
        self.server.requests.append((self.command, path))
        try:
            status = self.server.failure(self.command, path)
            if status is not None:
                raise _RefusedError(status, message="made to fail")
            answer = self._route(path)
        except _RefusedError as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)} if refusal.code else {}
            self._answer(refusal.status, {"error": str(refusal)}, headers)
        else:
            if answer is not None:
                self._answer(200, answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

    def _route(self, path):
        for methods, pattern, serve, writes in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in methods.split():
                words = match.groupdict()
                if writes and not self._token():
                    raise _RefusedError(401, message="Invalid username or password.")
                if "repository" in words:
                    words["repository"] = self._repository(words["repository"])
                if "revision" in words:
                    commit_id = words["repository"].find(words["revision"])
                    if commit_id is None:
                        raise _RefusedError(404, "RevisionNotFound", "Invalid rev id")
                    words["commit_id"] = commit_id
                return serve(self, **words)
        raise _RefusedError(404, message=f"no route {self.command} {path}")

    def _token(self):
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token if kind == "Bearer" else None

    def _repository(self, name):
        repository = self.server.repositories.get(name)
        if repository is None or (repository.private and not self._token()):
            # Like the Hub, which does not tell strangers what exists.
            raise _RefusedError(404 if self._token() else 401, "RepoNotFound", "Repository not found")
        if repository.gated and "/resolve/" in self.path:
            raise _RefusedError(
                403 if self._token() else 401, "GatedRepo", "Access to this model is restricted"
            )
        repository.name = name
        return repository

    def _read(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status, content, headers=()):
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": len(body), **dict(headers)}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # What the routes do. Each returns what to send as JSON, or sends by itself and returns nothing.

    def who_am_i(self):
        return {"type": "user", "name": self.server.user, "fullname": self.server.user, "orgs": []}

    def nothing(self):
        return {}

    def check_card(self):
        return {"errors": [], "warnings": []}

    def create(self):
        wish = json.loads(self.content)
        name = f"{wish.get('organization') or self.server.user}/{wish['name']}"
        answer = {"url": f"{self.server.url}/{name}", "name": name, "id": name}
        if name not in self.server.repositories:
            # Clients before 2.0 sent the first, later ones send the second.
            private = wish.get("private") or wish.get("visibility") == "private"
            self.server.repositories[name] = Repository(private=bool(private))
            return answer
        self._answer(409, {**answer, "error": "You already created this model repo"})
        return None

    def describe(self, repository, revision="main", commit_id=None):
        commit_id = commit_id or repository.find(revision)
        siblings = [{"rfilename": path} for path in sorted(repository.trees[commit_id])]
        about = {"id": repository.name, "sha": commit_id, "private": repository.private, "siblings": siblings}
        return {**about, "modelId": repository.name, "tags": [], "downloads": 0, "likes": 0}

    def list_files(self, repository, revision, commit_id):
        return [self._entry(path, data) for path, data in sorted(repository.trees[commit_id].items())]

    def describe_paths(self, repository, revision, commit_id):
        text = self.content.decode()
        wish = json.loads(text) if text.startswith("{") else urllib.parse.parse_qs(text)
        tree = repository.trees[commit_id]
        return [self._entry(path, tree[path]) for path in wish["paths"] if path in tree]

    def tag(self, repository, revision, commit_id):
        repository.names[json.loads(self.content)["tag"]] = commit_id
        return {}

    def choose_modes(self, repository, revision, commit_id):
        tree = repository.trees[commit_id]

        def answer(file):
            path = file["path"]
            large = file["size"] > LFS_SIZE or path.endswith(LFS_ENDINGS)
            # What the client compares to see that a file is there already.
            known = self._content_id(tree[path]) if path in tree else None
            mode = "lfs" if large else "regular"
            return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": known}

        return {"files": [answer(file) for file in json.loads(self.content)["files"]]}

    def offer_objects(self, repository):
        def answer(wanted):
            if wanted["oid"] in self.server.objects:
                return wanted
            target = {"href": f"{self.server.url}/objects/{wanted['oid']}", "header": {}}
            return {**wanted, "actions": {"upload": target}}

        return {"transfer": "basic", "objects": [answer(w) for w in json.loads(self.content)["objects"]]}

    def receive_object(self, sha256):
        if hashlib.sha256(self.content).hexdigest() != sha256:
            raise _RefusedError(400, message="the content is not what was announced")
        self.server.objects[sha256] = self.content
        return {}

    def commit(self, repository, revision, commit_id):
        header, *changes = (json.loads(line) for line in self.content.splitlines() if line)
        if header["value"].get("parentCommit") not in (None, commit_id):
            raise _RefusedError(412, message="A commit has happened since. Please refresh and try again.")
        tree = dict(repository.trees[commit_id])
        for change in changes:
            value = change["value"]
            if change["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif change["key"] == "lfsFile":
                if value["oid"] not in self.server.objects:
                    raise _RefusedError(400, message=f"{value['path']} was never uploaded")
                tree[value["path"]] = self.server.objects[value["oid"]]
            elif change["key"] == "deletedFile":
                del tree[value["path"]]
            else:
                raise _RefusedError(400, message=f"unknown change {change['key']}")
        new = repository.commit(tree, header["value"]["summary"])
        url = f"{self.server.url}/{repository.name}/commit/{new}"
        return {"success": True, "commitOid": new, "commitUrl": url, "hookOutput": ""}

    def send_file(self, repository, revision, commit_id, path):
        data = repository.trees[commit_id].get(path)
        if data is None:
            raise _RefusedError(404, "EntryNotFound", "Entry not found")
        headers = {
            "X-Repo-Commit": commit_id,
            "ETag": f'"{self._content_id(data)}"',
            "Accept-Ranges": "bytes",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._answer(200, data, headers)
        first, last = int(wanted[1]), int(wanted[2] or len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self._answer(206, data[first : last + 1], headers)

    def _content_id(self, data):
        """The SHA-256 of what came by git-LFS, git's own hash of everything else."""
        sha256 = hashlib.sha256(data).hexdigest()
        return (
            sha256
            if sha256 in self.server.objects
            else hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        )

    def _entry(self, path, data):
        entry = {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        sha256 = self._content_id(data)
        if len(sha256) == 64:
            entry["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 134}
        return entry


_MODEL = r"/api/models/(?P<repository>[^/]+/[^/]+)"
_AT = r"/(?P<revision>[^/]+)"
# Methods, pattern of the path, what serves it, whether it needs a token.
_ROUTES = [
    ("GET", "/api/whoami-v2", _Handler.who_am_i, True),
    # The client asks once a day which agents it may run in.
    ("GET", "/api/agent-harnesses", _Handler.nothing, False),
    ("POST", "/api/validate-yaml", _Handler.check_card, False),
    ("POST", "/api/repos/create", _Handler.create, True),
    ("GET HEAD", _MODEL, _Handler.describe, False),
    ("GET HEAD", f"{_MODEL}/revision{_AT}", _Handler.describe, False),
    ("GET", f"{_MODEL}/tree{_AT}/?", _Handler.list_files, False),
    ("POST", f"{_MODEL}/paths-info{_AT}", _Handler.describe_paths, False),
    ("POST", f"{_MODEL}/tag{_AT}", _Handler.tag, True),
    ("POST", f"{_MODEL}/preupload{_AT}", _Handler.choose_modes, True),
    ("POST", f"{_MODEL}/commit{_AT}", _Handler.commit, True),
    ("POST", r"/(?P<repository>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.offer_objects, True),
    ("PUT", "/objects/(?P<sha256>[0-9a-f]{64})", _Handler.receive_object, False),
    ("GET HEAD", rf"/(?P<repository>[^/]+/[^/]+)/resolve{_AT}/(?P<path>.+)", _Handler.send_file, False),
]
