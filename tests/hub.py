"""A stand-in of the Hugging Face hub on this machine: what its clients ask for when they read data sets and models.

Repositories are folders ``datasets/OWNER/NAME/REVISION`` and ``models/OWNER/NAME/REVISION``. It answers with commit,
size and ETag as the hub does, redirects former names of models, asks for a token where a model is gated, serves parts
of files, and can break a connection in the middle.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REVISIONS = ("resolve", "revision", "tree", "paths-info")


def commit_of(revision: str) -> str:
    """The commit that a branch is at; a commit is itself."""
    return revision if len(revision) == 40 else sha256(revision.encode()).hexdigest()[:40]


class Hub(ThreadingHTTPServer):
    """Serves ``root``. ``asked`` is every method and path; ``cut`` are files whose first
    answer breaks off."""

    daemon_threads = True

    def __init__(self, root: Path, moved: dict[str, str], gated: set[str], cut: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.moved, self.gated, self.cut, self.asked = root, moved, gated, cut, []

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no error."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        fields = json.loads(body) if body.startswith("{") else parse_qs(body)
        self.answer(fields.get("paths", []))

    def do_GET(self) -> None:
        self.answer([])

    def answer(self, paths: list[str]) -> None:
        self.server.asked.append((self.command, self.path))
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        api = parts[0] == "api"
        parts = parts[1:] if api else parts
        kind = "datasets" if parts[0] == "datasets" else "models"
        parts = parts[1:] if parts[0] in ("datasets", "models") else parts
        what = next((word for word in REVISIONS if word in parts), None)
        name = "/".join(parts[: parts.index(what)] if what else parts)
        if kind == "models" and name in self.server.moved:
            self.send(307, b"", {"Location": self.path.replace(name, self.server.moved[name], 1)})
            return
        if name in self.server.gated:
            text = f"Access to model {name} is restricted. You must have access to it and be authenticated."
            self.send(401, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": text})
            return
        repository = self.server.root / kind / name
        if not repository.is_dir():
            self.send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            return
        rest = parts[parts.index(what) + 1 :] if what else ["main"]
        folders = {folder.name.replace("+", "/"): folder for folder in repository.iterdir()}
        folders |= {commit_of(revision): folder for revision, folder in folders.items()}
        revision = next((r for r in ("/".join(rest[:3]), rest[0]) if r in folders), None)
        if revision is None:
            self.send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Revision not found"})
            return
        folder = folders[revision]
        inside = "/".join(rest[len(revision.split("/")) :])
        commit = commit_of(folder.name.replace("+", "/"))
        if api:
            self.api(what, name, folder, inside, commit, paths)
        else:
            self.file(folder / inside, commit)

    def api(self, what: str | None, name: str, folder: Path, inside: str, commit: str, paths: list[str]) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if what in (None, "revision"):
            siblings = [{"rfilename": str(path.relative_to(folder))} for path in files]
            found = {"id": name, "sha": commit, "siblings": siblings, "private": False, "gated": False, "tags": [],
                     "downloads": 0, "likes": 0, "lastModified": "2024-01-01T00:00:00.000Z"}  # fmt: skip
        elif what == "paths-info":
            found = [self.entry(folder / path, folder) for path in paths if (folder / path).exists()]
        else:
            start = folder / inside
            if not start.is_dir():
                self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
                return
            deep = parse_qs(urlsplit(self.path).query).get("recursive", ["false"])[0].lower() in ("true", "1")
            found = [self.entry(path, folder) for path in sorted(start.rglob("*") if deep else start.iterdir())]
        self.send(200, json.dumps(found).encode(), {"Content-Type": "application/json", "X-Repo-Commit": commit})

    @staticmethod
    def entry(path: Path, folder: Path) -> dict:
        about = {"path": str(path.relative_to(folder)), "oid": sha256(str(path).encode()).hexdigest()[:40]}
        return about | ({"type": "directory", "size": 0} if path.is_dir() else
                        {"type": "file", "size": path.stat().st_size})  # fmt: skip

    def file(self, path: Path, commit: str) -> None:
        if not path.is_file():
            self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found",
                                 "X-Repo-Commit": commit})  # fmt: skip
            return
        content = path.read_bytes()
        headers = {"ETag": f'"{sha256(content).hexdigest()}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        breaks_off = self.command == "GET" and path.name in self.server.cut
        self.server.cut.discard(path.name if breaks_off else "")
        self.send(206 if first else 200, content[first:], headers, breaks_off)

    def send(self, status: int, content: bytes, headers: dict[str, str], breaks_off: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if breaks_off else content)
        if breaks_off:
            self.close_connection = True


@contextmanager
def serving(root: Path, moved: dict[str, str] | None = None, gated: set[str] | None = None,
            cut: set[str] | None = None):  # fmt: skip
    """A hub of the repositories below ``root``, for the time of a ``with`` block."""
    hub = Hub(root, moved or {}, gated or set(), cut or set())
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
