"""Productive's two file hosts: downloads by token, uploads by signed form."""

from __future__ import annotations

import re
from email.message import Message

from .productive import Productive
from .server import Reply, Request, Switches

_PDF = re.compile(r"^/attachments/files/(\d{9})/original/[^/]+$")
_LARGEST_UPLOAD = 50_000_000


class Files:
    """Serves what `Productive` holds and takes uploads for it."""

    def __init__(self, switches: Switches, productive: Productive, token: str) -> None:
        self._switches = switches
        self._productive = productive
        self._token = token
        self.url = ""
        self.elsewhere = ""
        self._uploads = 0

    def handle(self, request: Request) -> Reply:
        """Answer a download or an upload."""
        if request.path == "/upload":
            if request.method != "POST":
                return _xml(405, "MethodNotAllowed")
            with self._productive.lock:
                return self._upload(request)
        if request.method != "GET":
            return _xml(405, "MethodNotAllowed")
        return self._download(request)

    def _download(self, request: Request) -> Reply:
        token = request.first("token")
        if token != self._token:
            return _xml(403 if token else 401, "AccessDenied")
        found = _PDF.match(request.path)
        key = str(int(found[1])) if found else ""
        with self._productive.lock:
            content = self._productive.files.get(key)
            attachment = self._productive.table("attachments").get(key)
        if content is None or attachment is None:
            return _xml(404, "NoSuchKey")
        if self._switches.files_redirect:
            return Reply(302, b"", {"Location": f"{self.elsewhere}/moved{request.path}"})
        kind = attachment["attributes"].get("content_type") or "application/octet-stream"
        return Reply(200, content, {"Content-Type": kind})

    def _upload(self, request: Request) -> Reply:
        """Take a form as the object store does: every policy field, then the file."""
        if {"x-auth-token", "x-organization-id", "authorization"} & request.headers.keys():
            # Credentials of the API have no business here.
            return _xml(400, "InvalidArgument")
        parts = _form(request)
        if not parts or parts[-1][0] != "file":
            return _xml(400, "MalformedPOSTRequest")
        fields = {name: content.decode("utf-8", "replace") for name, content in parts[:-1]}
        for attachment in self._productive.table("attachments").values():
            policy = attachment["attributes"].get("aws_policy")
            if policy and all(fields.get(name) == value for name, value in policy.items()):
                break
        else:
            return _xml(403, "AccessDenied")
        content = parts[-1][1]
        size = attachment["attributes"]["size"]
        if not content or len(content) > _LARGEST_UPLOAD or size not in {None, len(content)}:
            return _xml(400, "EntityTooLarge")
        self._uploads += 1
        location = f"{self.url}/upload/temp%2F{attachment['id']}%2F{self._uploads}"
        self._productive.data["uploads"][location] = content
        reply = _xml(201, "PostResponse")
        reply.headers["Location"] = location
        return reply


def _form(request: Request) -> list[tuple[str, bytes]]:
    """Split a multipart form into (name, content), in order; empty when it is none."""
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        return []
    parts: list[tuple[str, bytes]] = []
    for chunk in (b"\r\n" + request.body).split(b"\r\n--" + boundary.encode())[1:]:
        if chunk.startswith(b"--"):
            return parts
        head, _, content = chunk.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="([^"]*)"', head)
        if name is None:
            return []
        parts.append((name[1].decode("utf-8", "replace"), content))
    return []


def _xml(status: int, code: str) -> Reply:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{code}><Code>{code}</Code></{code}>'
    return Reply(status, body.encode(), {"Content-Type": "application/xml"})
