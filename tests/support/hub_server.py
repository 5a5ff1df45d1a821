"""As much of the hub's HTTP as its own client needs for one repository: commits, LFS, downloads."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ALWAYS = re.compile(r".*\.(parquet|safetensors|bin)")  # stored as LFS, as .gitattributes has it


class Repository:
    """Commits as dictionaries of files, newest last; a wrong parent is refused."""

    def __init__(self) -> None:
        self.commits: list[tuple[str, dict[str, bytes]]] = [("0" * 40, {})]
        self.blobs: dict[str, bytes] = {}
        self.uploads: list[int] = []  # bytes of each
        self.refused = 0
        self.tokens: set[str] = set()
        self.guard = threading.Lock()

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]]:
        found = [commit for commit in self.commits if commit[0] == revision]
        return found[-1] if found else self.commits[-1]

    def commit(self, lines: list[dict[str, Any]]) -> str | None:
        """The new head; null where the parent is not the head."""
        with self.guard:
            head, files = self.commits[-1]
            if lines[0]["value"].get("parentCommit", head) != head:
                self.refused += 1
                return None
            files = dict(files)
            for line in lines[1:]:
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                else:
                    files[value["path"]] = self.blobs[value["oid"]]
            made = hashlib.sha1(f"{head}{len(self.commits)}".encode()).hexdigest()
            self.commits.append((made, files))
            return made

    def write_to(self, folder: Path) -> Path:
        """A clone of the newest commit."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return folder


@contextmanager
def serving(name: str, kind: str = "models") -> Iterator[tuple[str, Repository]]:
    """An endpoint that has this one repository, to which `right` is the only token."""
    repository = Repository()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, code: int, body: Any = None, **headers: str) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
            self.send_response(code)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            begin = "" if kind == "models" else f"/{kind}"
            repository.tokens.add(self.headers.get("Authorization", ""))
            if "right" not in self.headers.get("Authorization", ""):
                self.answer(401)
            elif path == f"/api/{kind}/{name}" or path.startswith(f"/api/{kind}/{name}/revision/"):
                self.answer(200, {"id": name, "sha": repository.commits[-1][0], "siblings": []})
            elif found := re.fullmatch(f"/api/{kind}/{name}/tree/([^/]+)", path):
                files = repository.at(found[1])[1].items()
                self.answer(
                    200,
                    [{"type": "file", "path": p, "size": len(c), "oid": "0"} for p, c in files],
                )
            elif found := re.fullmatch(f"{begin}/{name}/resolve/([^/]+)/(.+)", path):
                commit, files = repository.at(found[1])
                content = files.get(found[2])
                if content is None:
                    self.answer(404, X_Error_Code="EntryNotFound")
                    return
                etag = hashlib.sha256(content).hexdigest()
                self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=commit)
            else:
                self.answer(404, X_Error_Code="RepoNotFound")

        do_HEAD = do_GET  # noqa: N815

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = unquote(urlsplit(self.path).path)
            if path == "/api/validate-yaml":
                self.answer(200, {"errors": [], "warnings": []})
            elif "/preupload/" in path:
                asked = json.loads(body)["files"]
                modes = {
                    f["path"]: "lfs" if ALWAYS.fullmatch(f["path"]) else "regular" for f in asked
                }
                files = [
                    {"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()
                ]
                self.answer(200, {"files": files})
            elif path.endswith("/info/lfs/objects/batch"):
                href = f"http://{self.headers['Host']}/blob/"
                found = [
                    {"oid": o["oid"], "size": o["size"]}
                    | (
                        {}
                        if o["oid"] in repository.blobs
                        else {"actions": {"upload": {"href": href + o["oid"], "header": {}}}}
                    )
                    for o in json.loads(body)["objects"]
                ]
                self.answer(200, {"transfer": "basic", "objects": found})
            elif "/commit/" in path:
                made = repository.commit([json.loads(line) for line in body.splitlines()])
                if made is None:
                    self.answer(412, {"error": "the parent is not the head"})
                else:
                    url = f"http://{self.headers['Host']}/{name}/commit/{made}"
                    self.answer(200, {"success": True, "commitOid": made, "commitUrl": url})
            else:
                self.answer(404, X_Error_Code="RepoNotFound")

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            repository.blobs[self.path.rpartition("/")[2]] = body
            repository.uploads.append(len(body))
            self.answer(200)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", repository
    finally:
        server.shutdown()
        server.server_close()
