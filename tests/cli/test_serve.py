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
import time
from collections.abc import Iterator

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


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_real_browser_shows_the_ui_with_the_token_only(address, tmp_path):
    base, _ = parts(address)

    def dom(url: str) -> str:
        command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        command += ["--virtual-time-budget=20000", "--dump-dom", url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    assert "-first-byte" in dom(address)  # the page marks that the terminal has written to it
    assert "holds a token" in dom(base)
