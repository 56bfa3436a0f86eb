"""An object store on this machine, and the file system of fsspec that speaks to it: no folders, no renaming."""

# ruff: noqa: ARG002  the base class has these arguments

from __future__ import annotations

from http.client import HTTPConnection
from typing import Any

import fsspec
from fsspec.spec import AbstractFileSystem

from tests.servers.base import HttpReply, HttpRequest, LoopbackServer

__all__ = ["ObjectServer", "ObjectStore"]


class ObjectServer(LoopbackServer):
    """Keeps objects by name; an object exists once all of it has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def reply(self, request: HttpRequest) -> HttpReply:
        name = request.target[1:]
        if request.method == "PUT":
            self.objects[name] = request.content
        elif request.method == "DELETE":
            self.objects.pop(name, None)
        elif name.startswith("?"):
            sizes = [f"{key} {len(value)}" for key, value in list(self.objects.items()) if key.startswith(name[1:])]
            return 200, {}, "\n".join(sizes).encode()
        elif name not in self.objects:
            return 404, {}, b""
        else:
            return 200, {}, self.objects[name]
        return 200, {}, b""


class ObjectStore(AbstractFileSystem):  # type: ignore[misc]  # the base class has no types
    """`objects://host:port/name`, with names that may hold slashes."""

    protocol = "objects"
    root_marker = ""

    def __init__(self, host: str = "", **options: Any) -> None:
        super().__init__(host=host, **options)
        self.host = host

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(item) for item in path]
        scheme, result, rest = path.partition("://")
        return (rest.partition("/")[2] if result else scheme).strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, str]:
        return {"host": path.partition("://")[2].partition("/")[0]}

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._ask("PUT", self._strip_protocol(path), value)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        return self._ask("GET", self._strip_protocol(path))[start:end]

    def cp_file(self, path1: str, path2: str, **options: Any) -> None:
        self.pipe_file(path2, self.cat_file(path1))

    def rm_file(self, path: str) -> None:
        # What looks like a folder is only a part of names, and goes with the last of them.
        if not self.isdir(path):
            self._ask("DELETE", self._strip_protocol(path))

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        folder = self._strip_protocol(path)
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for line in self._ask("GET", f"?{prefix}").decode().splitlines():
            name, _, size = line.rpartition(" ")
            first, slash, _ = name.removeprefix(prefix).partition("/")
            kind = {"type": "directory", "size": 0} if slash else {"type": "file", "size": int(size)}
            entries[prefix + first] = {"name": prefix + first, **kind}
        if not entries:
            lines = self._ask("GET", f"?{folder}").decode().splitlines()
            own = [line for line in lines if line.rpartition(" ")[0] == folder]
            if not own:
                raise FileNotFoundError(path)
            entries[folder] = {"name": folder, "type": "file", "size": int(own[0].rpartition(" ")[2])}
        return list(entries.values()) if detail else sorted(entries)

    def _ask(self, method: str, name: str, content: bytes | None = None) -> bytes:
        connection = HTTPConnection(self.host, timeout=20)
        try:
            connection.request(method, f"/{name}", body=content)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            raise FileNotFoundError(name)
        return body


fsspec.register_implementation("objects", ObjectStore, clobber=True)
