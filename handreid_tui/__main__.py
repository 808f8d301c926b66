"""The program `handreid`. Without further words the terminal UI starts at once, before the parser is imported."""

from __future__ import annotations

import errno
import gc
import os
import sys
from contextlib import suppress
from typing import NoReturn

from engine.contract.errors import UserError
from handreid_tui.text.streams import use_readable_streams

# What the machine refuses, at a place where no sentence of its own was written for it: no bug, so no traceback.
REFUSED = {
    errno.ENOSPC: "no space left on the device",
    errno.EDQUOT: "disk quota exceeded",
    errno.EFBIG: "file size limit exceeded",
    errno.EROFS: "read-only file system",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EMFILE: "too many open files; raise the limit with `ulimit -n`",
    errno.ENFILE: "too many open files on this machine",
    errno.EIO: "input/output error of the device",
    errno.ESTALE: "stale file handle of a network file system",
}


def main() -> NoReturn:
    """Run what the command line asks for: a user's mistake is one sentence on stderr and exit status 2."""
    gc.disable()  # imports leave no garbage, and looking for it is a tenth of the time to the first frame
    use_readable_streams()
    try:
        status = _status()
    except Exception as error:
        from handreid_tui.text.manager_log import log_bug, log_file

        log_bug(f"handreid {' '.join(sys.argv[1:])}")
        what = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
        status = _complain(f"This is a bug in handreid ({what}). The traceback is in {log_file()}.") - 1
    sys.exit(status)


def _status() -> int:
    """Do the work; what became of it as an exit status."""
    try:
        status = _command_line() if len(sys.argv) > 1 or "_HANDREID_COMPLETE" in os.environ else _terminal_ui()
        sys.stdout.flush()
        return status
    except UserError as error:
        from handreid_tui.cli.controls import sentence

        return _complain(sentence(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `handreid runs | head`: nobody reads on
        _discard_stdout()
        return 1
    except RuntimeError as error:
        if "home directory" not in str(error):  # as pathlib says it of `~`
            raise
        return _complain("The home directory is unknown, so `~` cannot be expanded: set HOME, or give the full path.")
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        _discard_stdout()
        return _complain(f"{error.filename or 'Output cannot be written'}: {REFUSED[error.errno]}.")


def _complain(sentence: str) -> int:
    with suppress(OSError):
        print(f"Error: {sentence}", file=sys.stderr)
    return 2


def _discard_stdout() -> None:
    """What is left in the buffer of stdout cannot be written; the end of the program must not try again."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command_line() -> int:
    """Run a command; a wrong option or value is one sentence and status 2, like any other mistake."""
    import typer

    from handreid_tui.cli.app import command_line

    try:
        command = command_line(sys.argv[1:])
        gc.set_threshold(50_000)  # a command imports what it needs: most of what is made stays
        gc.enable()
        return int(command(prog_name="handreid", standalone_mode=False) or 0)
    except typer.TyperException as error:
        if mistake := error.format_message().replace("Value error, ", "").rstrip("."):  # empty: the help was printed
            context = getattr(error, "ctx", None)
            program, end = context.command_path if context else "handreid", "" if mistake.endswith("?") else "."
            _complain(f"{mistake}{end} See `{program} --help`.")
        return error.exit_code
    except typer.Abort:
        return _complain("Aborted.")
    except SystemExit as end:  # as typer ends where nobody reads its output
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def _terminal_ui() -> int:
    from handreid_tui.ui.terminal import check_terminal

    check_terminal()
    from handreid_tui.settings import choose_places, read_user_file
    from handreid_tui.ui.app import run_app

    return run_app(choose_places(read_user_file()))


if __name__ == "__main__":
    main()
