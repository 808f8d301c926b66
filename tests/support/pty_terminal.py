"""A terminal that a test plays: it answers what a program asks of it and keeps what the program draws."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path


class PtyTerminal:
    """A program on a pseudo-terminal of 120x40 cells, 10x20 pixels each. `answers`: to each question, by its bytes."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], folder: Path, answers: Mapping[bytes, bytes]
    ):
        self.drawn = b""
        self._answers = answers
        self.process, self._file = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, dict(environment))
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 1200, 800))

    def until(self, true: Callable[[bytes], bool], seconds: float = 60.0) -> None:
        """Read and answer until `true` of all that was drawn."""
        end = time.monotonic() + seconds
        while not true(self.drawn):
            assert time.monotonic() < end, self.drawn[-2000:]
            if select.select([self._file], [], [], 0.1)[0]:
                found = os.read(self._file, 1 << 16)
                self.drawn += found
                for question, answer in self._answers.items():
                    if question in found:
                        os.write(self._file, answer)

    def press(self, keys: bytes) -> None:
        os.write(self._file, keys)

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self._file)
