"""`handreid serve`: the terminal UI in a browser."""

from __future__ import annotations

import os
import shlex
import sys

from engine.contract.errors import UserError
from handreid_tui.settings import Places

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(places: Places, host: str, port: int) -> None:
    """Serve the UI until Ctrl-C, to whoever has the address with its token: the UI can start and delete runs."""
    try:
        from handreid_tui.cli.guarded_server import GuardedServer
    except ImportError:
        raise UserError("The browser mode needs textual-serve: pip install 'handreid[serve]'.") from None
    if host not in LOOPBACK:
        print(f"Warning: traffic to {host}:{port} is not encrypted; an SSH tunnel is safer.", file=sys.stderr)
    words = [sys.executable, "-m", "handreid_tui", "--db", str(places.db), "--runs", str(places.runs)]
    try:
        GuardedServer(shlex.join(words), host, port).serve()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UserError(f"Cannot listen on {host}:{port} ({reason}): choose another --port.") from None
