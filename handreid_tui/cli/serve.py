"""`handreid serve`: the terminal UI in a browser."""

from __future__ import annotations

import os
import shlex
import sys

from engine.contract.errors import UserError
from handreid_tui.settings import Places

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(places: Places, host: str, port: int) -> None:
    """Serve the UI until Ctrl-C. Whoever reaches the address can start and delete runs, so it is this machine's own."""
    try:
        from textual_serve.server import Server
    except ImportError:
        raise UserError("The browser mode needs textual-serve: pip install 'handreid[serve]'.") from None
    if host not in LOOPBACK:
        print(f"Note: everyone who reaches {host}:{port} can start and delete runs.", file=sys.stderr)
    words = [sys.executable, "-m", "handreid_tui", "--db", str(places.db), "--runs", str(places.runs)]
    try:
        Server(shlex.join(words), host=host, port=port, title="handreid").serve()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"{host}:{port} cannot be listened on ({reason}): choose another --port.") from None
