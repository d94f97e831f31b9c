"""A small Hugging Face Hub on 127.0.0.1, with faults on request.

It has the few endpoints that `huggingface_hub` uses to describe a repository, to list its pull
requests and to download files, and answers as the real one does: large files through a redirect,
ranges, hashes in headers.
"""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Fault:
    """What goes wrong when a request's "METHOD /path" matches; `times` uses, then all is well."""

    pattern: str
    kind: str  # a status such as "500"; "stall", "cut" (connection lost), "short", "corrupt"
    times: int = 1000


@dataclass
class SmallHub:
    """`revisions[name][revision][file]` are bytes; `proposals[name]` are pull requests."""

    revisions: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    proposals: dict[str, list[dict]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    endpoint: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def add(self, name: str, folder: Path, *, revision: str = "main") -> None:
        files = {file.name: file.read_bytes() for file in folder.iterdir()}
        self.revisions.setdefault(name, {})[revision] = files

    def propose(self, name: str, *, number: int, author: str, title: str) -> None:
        self.proposals.setdefault(name, []).append(
            {
                "num": number,
                "title": title,
                "author": {"name": author},
                "status": "open",
                "isPullRequest": True,
                "createdAt": "2024-01-01T00:00:00.000Z",
                "repo": {"name": name, "type": "model"},
            }
        )

    def fault_of(self, request: str) -> str | None:
        for fault in self.faults:
            if fault.times > 0 and re.search(fault.pattern, request):
                fault.times -= 1
                return fault.kind
        return None

    def commit(self, name: str, revision: str) -> str:
        return hashlib.sha1(f"{name} {revision}".encode()).hexdigest()


def is_large(file: str) -> bool:
    return file.endswith((".safetensors", ".bin"))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: SmallHub

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        self.hub.requests.append(request)
        fault = self.hub.fault_of(request)
        if fault and fault.isdigit():
            return self.send(int(fault), b"{}")
        if fault == "stall":
            self.hub.stopped.wait(60)
            self.close_connection = True
            return None
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/discussions", path):
            found = self.hub.proposals.get(match[1], [])
            return self.send_json({"discussions": found, "count": len(found), "start": 0})
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self.describe(match[1], match[2] or "main")
        if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/(main|refs/pr/\d+)/(.+)", path):
            return self.resolve(*match.groups(), fault)
        if match := re.fullmatch(r"/large/([^/]+/[^/]+)/(main|refs/pr/\d+)/(.+)", path):
            name, revision, file = match.groups()
            return self.send_file(self.hub.revisions[name][revision][file], fault)
        return self.send(404, b"{}")

    def describe(self, name: str, revision: str):
        files = self.hub.revisions.get(name, {}).get(revision)
        if files is None:
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        siblings = []
        for file, data in files.items():
            sibling = {"rfilename": file, "size": len(data), "blobId": "0" * 40}
            if is_large(file):
                digest = hashlib.sha256(data).hexdigest()
                sibling["lfs"] = {"sha256": digest, "size": len(data), "pointerSize": 134}
            siblings.append(sibling)
        commit = self.hub.commit(name, revision)
        return self.send_json({"id": name, "sha": commit, "private": False, "siblings": siblings})

    def resolve(self, name: str, revision: str, file: str, fault: str | None):
        files = self.hub.revisions.get(name, {}).get(revision)
        if files is None:
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        headers = {"X-Repo-Commit": self.hub.commit(name, revision)}
        if file not in files:
            return self.send(404, b"{}", headers | {"X-Error-Code": "EntryNotFound"})
        data = files[file]
        if not is_large(file):
            headers["ETag"] = f'"{hashlib.sha1(data).hexdigest()}"'
            return self.send_file(data, fault, headers)
        headers["X-Linked-Etag"] = f'"{hashlib.sha256(data).hexdigest()}"'
        headers["X-Linked-Size"] = str(len(data))
        # The real Hub sends large files from another host, and so does this one.
        elsewhere = self.hub.endpoint.replace("127.0.0.1", "localhost")
        headers["Location"] = f"{elsewhere}/large/{name}/{revision}/{file}"
        return self.send(302, b"", headers)

    def send_file(self, data: bytes, fault: str | None, headers: dict[str, str] | None = None):
        status, headers = 200, dict(headers or {})
        if wanted := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            first = int(wanted[1])
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[first:]
        if fault == "corrupt":
            data = bytes(len(data))
        if fault == "short":
            data = data[: len(data) // 2]
        self.send(status, data, headers, cut=fault == "cut")

    def send_json(self, content: dict):
        self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, data: bytes, headers: dict | None = None, *, cut: bool = False):
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if cut else data)
        self.close_connection = cut


@contextlib.contextmanager
def small_hub() -> Iterator[SmallHub]:
    """A running Hub; ends with its context."""
    hub = SmallHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()
