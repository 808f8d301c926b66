"""The server of `handreid serve`: nothing is answered without the token in the address, nor to another site's page.

Imports aiohttp, which the extra `serve` brings.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from textual_serve.server import Server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {"Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store"}


class GuardedServer(Server):
    """Serves a Textual program below `/TOKEN/`; `/?token=TOKEN` leads there.

    Refused with status 403: a request without the token; one whose Host is neither an IP address nor a name of this
    machine (a page that rebinds its own name to this address); one whose Origin is another than its Host.
    """

    def __init__(self, command: str, host: str, port: int) -> None:
        super().__init__(command, host=host, port=port, title="handreid")
        self.token = secrets.token_hex(16)
        self._names = {"localhost", host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={self.token}"

    async def on_startup(self, app: web.Application) -> None:
        print(f"Open {self.address}\nCtrl-C stops the server.", file=sys.stderr, flush=True)

    def initialize_logging(self) -> None:
        """Requests are not logged: their addresses hold the token."""

    async def _make_app(self) -> web.Application:
        root = web.Application(middlewares=[self._guard])
        root.router.add_get("/", self._enter)
        root.add_subapp(f"/{self.token}/", await super()._make_app())
        return root

    async def handle_index(self, request: web.Request) -> web.StreamResponse:
        """The page; its links lead to the host and port that the browser knows, also through a tunnel."""
        self.public_url = f"{request.scheme}://{request.host}"
        return await super().handle_index(request)

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(f"/{self.token}/")

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if reason := self._reason_against(request):
            return web.Response(status=403, text=f"{reason}\n", headers=HEADERS)
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _reason_against(self, request: web.Request) -> str:
        if not self._is_own(request.host):
            return "This server rejects requests for that host name."
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
            return "This server rejects requests from pages of another site."
        given = request.query.get("token", "") if request.path == "/" else request.path.split("/")[1]
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return "Open the address that `handreid serve` printed: it holds a token."
        return ""

    def _is_own(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return True
