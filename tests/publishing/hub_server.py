"""The Hub on this machine: its HTTP API as `huggingface_hub` speaks it, for one process and no data to be kept.

It creates repositories, says how files are uploaded, takes large ones by LFS, commits, lists, serves and validates
cards. Faults are ordered for requests to come: a status, or a connection that is cut before or after the work is done.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.servers.base import HttpReply, HttpRequest, LoopbackServer

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
LFS_SUFFIXES = (".parquet", ".safetensors", ".bin", ".png")
REGULAR_LIMIT = 10_000_000
LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "cc0-1.0", "unknown", "other"}
TASKS = {"text-classification", "token-classification", "question-answering", "text-generation"}
SDKS = {"gradio", "static", "docker"}
SIZES = {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M"}

HANG_UP: HttpReply = (0, {}, b"")


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]
    message: str


@dataclass
class Repository:
    kind: str
    name: str
    private: bool
    sdk: str | None = None
    commits: list[Commit] = field(default_factory=list)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        if revision == "main":
            return self.head
        return next((commit for commit in self.commits if commit.sha == revision), None)

    def commit(self, files: dict[str, bytes], message: str) -> Commit:
        before = self.commits[-1].sha if self.commits else ""
        content = repr(
            (before, message, sorted((path, hashlib.sha1(data).hexdigest()) for path, data in files.items()))
        )
        self.commits.append(Commit(hashlib.sha1(content.encode()).hexdigest(), files, message))
        return self.head


@dataclass
class Fault:
    """What goes wrong with the next requests of a method to a path."""

    method: str
    path: str
    """A regular expression, searched in the path."""
    status: int = 500
    times: int = 1
    message: str = "it went wrong"
    headers: dict[str, str] = field(default_factory=dict)
    cut: str | None = None
    """`before` or `after` the work is done: the connection is closed without an answer."""


@dataclass
class User:
    name: str
    role: str = "write"


class HubServer(LoopbackServer):
    """Speaks the Hub's API on a free port of 127.0.0.1; `users` are by token."""

    def __init__(self, users: dict[str, User]) -> None:
        super().__init__()
        self.users = users
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        """LFS objects by SHA-256."""
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.uploads: list[str] = []
        """The LFS objects that were sent, in order."""

    def reply(self, request: HttpRequest) -> HttpReply:
        with self.lock:
            return _Exchange(self, request).reply()

    def repository(self, name: str, kind: str = "dataset") -> Repository:
        return self.repositories[kind, name]

    def create(self, name: str, kind: str = "dataset", *, private: bool = True, sdk: str | None = None) -> Repository:
        made = Repository(kind, name, private, sdk)
        made.commit({".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}, "initial commit")
        self.repositories[kind, name] = made
        return made

    def fail(self, method: str, path: str, **fault: Any) -> None:
        self.faults.append(Fault(method, path, **fault))

    def count(self, method: str, path: str) -> int:
        """How many such requests came."""
        return sum(one == method and re.search(path, where) is not None for one, where in self.requests)


class _Exchange:
    """One request and its reply."""

    def __init__(self, hub: HubServer, request: HttpRequest) -> None:
        self.hub = hub
        self.command, self.where = request.method, request.path
        self.headers, self.body = request.headers, request.content
        self.query = parse_qs(urlsplit(request.target).query)
        self._reply: HttpReply = HANG_UP

    def reply(self) -> HttpReply:
        self.hub.requests.append((self.command, self.where))
        fault = self._fault()
        if fault is not None and fault.cut is None:
            self._error(fault.status, fault.message, headers=fault.headers)
        elif fault is None or fault.cut == "after":
            self._route()
        return HANG_UP if fault is not None and fault.cut else self._reply

    def _fault(self) -> Fault | None:
        for fault in self.hub.faults:
            if fault.times and fault.method == self.command and re.search(fault.path, self.where):
                fault.times -= 1
                return fault
        return None

    def _route(self) -> None:
        said = self.headers.get("Authorization")
        self.user = None if said is None else self.hub.users.get(said.removeprefix("Bearer "))
        if said is not None and self.user is None:
            return self._error(401, "Invalid username or password.")
        for method, pattern, act in ROUTES:
            if self.command in method and (found := re.fullmatch(pattern, self.where)):
                return act(self, **found.groupdict())
        return self._error(404, f"no such route: {self.where}")

    def _repository(self, kind: str, name: str, *, write: bool = False) -> Repository | None:
        found = self.hub.repositories.get((kind, name))
        own = self.user is not None and name.startswith(f"{self.user.name}/")
        if found is None or (found.private and not own):
            self._error(404 if self.user else 401, "Repository not found", code="RepoNotFound")
            return None
        if write and (not own or self.user is None or self.user.role != "write"):
            self._error(403, "You don't have write access to this repository.")
            return None
        return found

    def whoami(self) -> None:
        if self.user is None:
            return self._error(401, "Invalid username or password.")
        token = {"accessToken": {"displayName": "test", "role": self.user.role}}
        return self._json({"type": "user", "name": self.user.name, "orgs": [], "auth": token})

    def create(self) -> None:
        asked = json.loads(self.body)
        if self.user is None:
            return self._error(401, "Invalid username or password.")
        name, kind = f"{asked['organization'] or self.user.name}/{asked['name']}", asked.get("type", "model")
        if self.user.role != "write" or not name.startswith(f"{self.user.name}/"):
            return self._error(403, f"You don't have the rights to create a {kind} under this namespace")
        url = f"{self.hub.url}/{'' if kind == 'model' else kind + 's/'}{name}"
        if (kind, name) in self.hub.repositories:
            return self._json({"error": f"You already created this {kind} repo", "url": url}, 409)
        self.hub.create(name, kind, private=asked.get("visibility") == "private", sdk=asked.get("sdk"))
        return self._json({"url": url, "name": name})

    def validate(self) -> None:
        asked = json.loads(self.body)
        errors = card_errors(asked["content"], asked["repoType"])
        self._json({"errors": [{"message": error} for error in errors], "warnings": []}, 400 if errors else 200)

    def info(self, kinds: str, name: str, revision: str | None = None) -> None:
        found = self._repository(KINDS[kinds], name)
        if found is None:
            return None
        commit = found.at(revision or "main")
        if commit is None:
            return self._error(404, "Revision not found", code="RevisionNotFound")
        siblings = [{"rfilename": path} for path in sorted(commit.files)]
        more = {"sdk": found.sdk} if found.sdk else {}
        return self._json(
            {"id": name, "sha": commit.sha, "private": found.private, "siblings": siblings, "tags": [], **more}
        )

    def preupload(self, kinds: str, name: str) -> None:
        found = self._repository(KINDS[kinds], name, write=True)
        if found is None:
            return
        files = []
        for asked in json.loads(self.body)["files"]:
            large = asked["path"].endswith(LFS_SUFFIXES) or asked["size"] > REGULAR_LIMIT
            now = found.head.files.get(asked["path"])
            oid = None if now is None else _sha256(now) if large else _git_sha(now)
            mode = "lfs" if large else "regular"
            files.append({"path": asked["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": files})

    def batch(self, prefix: str | None, name: str) -> None:
        kind = KINDS[prefix.rstrip("/")] if prefix else "model"
        if self._repository(kind, name, write=True) is None:
            return
        objects = []
        for asked in json.loads(self.body)["objects"]:
            answer = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.objects:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{asked['oid']}"}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if _sha256(self.body) != oid:
            return self._error(400, "the content has another hash")
        self.hub.objects[oid] = self.body
        self.hub.uploads.append(oid)
        return self._json({})

    def commit(self, kinds: str, name: str) -> None:
        found = self._repository(KINDS[kinds], name, write=True)
        if found is None:
            return None
        files, message = dict(found.head.files), ""
        for line in self.body.splitlines():
            part = json.loads(line)
            value = part["value"]
            match part["key"]:
                case "header":
                    message = value["summary"]
                    if value.get("parentCommit") not in (None, found.head.sha):
                        return self._error(412, "A commit has happened since. Please refresh and try again.")
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self.hub.objects:
                        return self._error(400, f"the LFS object of {value['path']} was not uploaded")
                    files[value["path"]] = self.hub.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        made = found.commit(files, message)
        return self._json(
            {"success": True, "commitOid": made.sha, "commitUrl": f"{self.hub.url}/{name}/commit/{made.sha}"}
        )

    def tree(self, kinds: str, name: str, revision: str, folder: str | None = None) -> None:
        commit = self._commit(KINDS[kinds], name, revision)
        if commit is None:
            return None
        start = f"{folder.strip('/')}/" if folder else ""
        inside = {path: data for path, data in commit.files.items() if path.startswith(start)}
        if not inside:
            return self._error(404, "Entry not found", code="EntryNotFound")
        recursive = self.query.get("recursive", ["False"])[0].lower() == "true"
        return self._json(_entries(inside, start, recursive=recursive))

    def paths(self, kinds: str, name: str, revision: str) -> None:
        commit = self._commit(KINDS[kinds], name, revision)
        if commit is None:
            return
        if self.headers.get("Content-Type", "").startswith("application/json"):
            asked = json.loads(self.body)["paths"]
        else:
            asked = parse_qs(self.body.decode()).get("paths", [])
        entries = {entry["path"]: entry for entry in _entries(commit.files, "", recursive=True)}
        wanted = [asked] if isinstance(asked, str) else asked
        self._json([entries[path] for path in wanted if path in entries])

    def resolve(self, prefix: str | None, name: str, revision: str, path: str) -> None:
        commit = self._commit(KINDS[prefix.rstrip("/")] if prefix else "model", name, revision)
        if commit is None:
            return None
        if path not in commit.files:
            return self._error(404, "Entry not found", code="EntryNotFound", headers={"X-Repo-Commit": commit.sha})
        data = commit.files[path]
        large = path.endswith(LFS_SUFFIXES)
        tag = _sha256(data) if large else _git_sha(data)
        headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Size": str(len(data)), "X-Linked-Etag": f'"{tag}"'}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(asked[1]), int(asked[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            return self._send(206, data[first : last + 1], headers)
        return self._send(200, data, headers)

    def _commit(self, kind: str, name: str, revision: str) -> Commit | None:
        found = self._repository(kind, name)
        if found is None:
            return None
        commit = found.at(revision)
        if commit is None:
            self._error(404, "Revision not found", code="RevisionNotFound")
        return commit

    def _error(
        self, status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        more = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self._send(status, json.dumps({"error": message}).encode(), more)

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self._reply = (status, headers, content)


KIND = r"/api/(?P<kinds>models|datasets|spaces)/(?P<name>[^/]+/[^/]+)"
PREFIX = r"/(?P<prefix>datasets/|spaces/)?(?P<name>[^/]+/[^/]+)"
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., None]]] = [
    (("GET",), "/api/whoami-v2", _Exchange.whoami),
    (("POST",), "/api/repos/create", _Exchange.create),
    (("POST",), "/api/validate-yaml", _Exchange.validate),
    (("GET",), f"{KIND}(?:/revision/(?P<revision>[^/]+))?", _Exchange.info),
    (("POST",), f"{KIND}/preupload/main", _Exchange.preupload),
    (("POST",), f"{KIND}/commit/main", _Exchange.commit),
    (("GET",), f"{KIND}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?", _Exchange.tree),
    (("POST",), f"{KIND}/paths-info/(?P<revision>[^/]+)", _Exchange.paths),
    (("POST",), rf"{PREFIX}\.git/info/lfs/objects/batch", _Exchange.batch),
    (("PUT",), "/lfs/(?P<oid>[0-9a-f]{64})", _Exchange.upload),
    (("GET", "HEAD"), f"{PREFIX}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Exchange.resolve),
]


def card_errors(content: str, kind: str) -> list[str]:
    """What the Hub refuses in a card's metadata, as far as its documentation says."""
    found = re.match(r"^\s*---[\r\n]+([\S\s]*?)[\r\n]+---(\r\n|\n|$)", content)
    if found is None:
        return []
    try:
        values = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"not YAML: {error}"]
    if not isinstance(values, dict):
        return ["the metadata are no mapping"]
    return list(_wrong(values, kind))


def _wrong(values: dict[str, Any], kind: str) -> Iterator[str]:
    if values.get("license", "unknown") not in LICENCES:
        yield '"license" must be one of the known identifiers'
    for key, known in (("task_categories", TASKS), ("size_categories", SIZES)):
        yield from (f'"{key}" has {value!r}' for value in values.get(key, ()) if value not in known)
    for config in values.get("configs", ()):
        if not {"config_name", "data_files"} <= set(config):
            yield '"configs" must have "config_name" and "data_files"'
    for result in (result for entry in values.get("model-index", ()) for result in entry["results"]):
        if "type" not in result["task"] or not {"type", "name"} <= set(result["dataset"]):
            yield '"model-index" lacks a task or a data set'
        if not all({"type", "value"} <= set(metric) for metric in result["metrics"]):
            yield '"model-index" has a metric without type or value'
    if kind == "space" and values.get("sdk") not in SDKS:
        yield '"sdk" must be one of gradio, docker, static'
    if len(str(values.get("short_description", ""))) > 60:
        yield '"short_description" must be of 60 characters at most'


def _entries(files: dict[str, bytes], start: str, *, recursive: bool) -> list[dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    for path, data in sorted(files.items()):
        folders = path.removeprefix(start).split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            folder = start + "/".join(folders[:depth])
            if recursive or depth == 1:
                entries[folder] = {"type": "directory", "oid": _git_sha(folder.encode()), "size": 0, "path": folder}
        if folders and not recursive:
            continue
        entries[path] = {"type": "file", "oid": _git_sha(data), "size": len(data), "path": path}
        if path.endswith(LFS_SUFFIXES):
            entries[path]["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 130}
    return list(entries.values())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_sha(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
