"""`handreid serve`: nothing without the token, nothing for a page of another site."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that a server printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "handreid_tui", "serve", "--port", str(port)]
    home = tmp_path_factory.mktemp("home")
    environment = os.environ | {"XDG_CONFIG_HOME": str(home)}
    server = subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE, text=True, env=environment)
    assert server.stderr
    found = re.search(r"http://\S+", server.stderr.readline())
    assert found
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield found[0]
    server.send_signal(signal.SIGINT)
    server.wait(30)


def parts(address: str) -> tuple[str, str]:
    base, _, token = address.partition("/?token=")
    return base, token


async def status(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers, allow_redirects=False) as answer:
        return int(answer.status)


async def test_the_page_and_the_terminal_open_with_the_token(address):
    base, token = parts(address)
    async with aiohttp.ClientSession() as session:
        async with session.get(address) as page:
            text = await page.text()
            assert page.status == 200
            assert f"{base.replace('http', 'ws', 1)}/{token}/ws" in text
            assert page.headers["Referrer-Policy"] == "no-referrer"
        script = re.search(r'src="([^"]+\.js)"', text)
        assert script and await status(script[1]) == 200
        shown = b""
        async with session.ws_connect(f"{base}/{token}/ws?width=100&height=30", origin=base) as terminal:
            async with asyncio.timeout(60):
                while b"Combinations" not in shown:
                    shown += (await terminal.receive()).data
    assert b"Launch" in shown


@pytest.mark.parametrize(
    "path",
    ["/", "/ws", "/static/js/textual.js", "/download/x", "/?token=", "/?token=" + "0" * 32, "/" + "0" * 32 + "/ws"],
)
async def test_nothing_is_served_without_the_token(address, path):
    base, _ = parts(address)
    assert await status(base + path) == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with aiohttp.ClientSession() as session, session.ws_connect(base + path, origin=base):
            pass
    assert refused.value.status == 403


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/textual.js"])
async def test_a_foreign_origin_and_a_foreign_host_are_refused_even_with_the_token(address, path):
    base, token = parts(address)
    url = f"{base}/{token}{path}"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
        assert await status(url, **headers) == 403
    for host in ("localhost.evil.example:80", "127.0.0.1.evil.example", "["):
        assert await status(url, Host=host) in (400, 403)
    if path != "/ws":
        assert await status(url, Host="localhost:9000") == 200


async def test_a_foreign_page_cannot_open_the_terminal(address):
    base, token = parts(address)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        url = f"{base}/{token}/ws"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, origin="http://evil.example"):
            pass
    assert refused.value.status == 403


browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def dom(url: str, folder: Path, *options: str) -> str:
    """The page that a real browser makes of `url`."""
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", *options]
    command += ["--virtual-time-budget=20000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.long
@browser
def test_a_real_browser_shows_the_ui_with_the_token_and_by_its_own_name_only(address, tmp_path):
    base, token = parts(address)
    assert "-first-byte" in dom(address, tmp_path)  # the page marks that the terminal has written to it
    assert "holds a token" in dom(base, tmp_path)
    foreign = f"http://evil.example:{base.rpartition(':')[2]}/?token={token}"
    seen = dom(foreign, tmp_path, "--host-resolver-rules=MAP evil.example 127.0.0.1")
    assert "host name" in seen and "-first-byte" not in seen


class ForeignPage(BaseHTTPRequestHandler):
    """A page of another site that opens `terminal`, and tells its own server what came of it."""

    terminal = ""
    told: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.told.append(self.path)
        script = f"""let socket = new WebSocket({self.terminal!r});
            socket.onopen = () => fetch('/let-in'); socket.onerror = () => fetch('/refused');"""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(f"<html><body>a foreign page<script>{script}</script></body></html>".encode())

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.mark.long
@browser
def test_a_page_of_another_site_in_the_same_browser_is_refused_even_with_the_token(address, tmp_path):
    base, token = parts(address)
    with ThreadingHTTPServer(("127.0.0.1", 0), ForeignPage) as server:
        ForeignPage.terminal = f"{base.replace('http', 'ws', 1)}/{token}/ws?width=80&height=24"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        command += ["--remote-debugging-port=0", f"http://127.0.0.1:{server.server_port}/"]  # it stays open
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as opened:
            end = time.monotonic() + 60
            while not {"/refused", "/let-in"} & set(ForeignPage.told) and time.monotonic() < end:
                time.sleep(0.1)
            opened.terminate()
        server.shutdown()
    assert "/refused" in ForeignPage.told and "/let-in" not in ForeignPage.told
