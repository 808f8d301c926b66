"""The program `handreid`. Without further words the terminal UI starts at once, before the parser is imported."""

from __future__ import annotations

import sys
from typing import NoReturn

from engine.contract.errors import UserError


def main() -> NoReturn:
    """Run what the command line asks for: a user's mistake is one sentence on stderr and exit status 2."""
    try:
        if len(sys.argv) == 1:
            sys.exit(_terminal_ui())
        sys.exit(_command_line())
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _command_line() -> int:
    """Run a command; a wrong option or value is one sentence and status 2, like any other mistake."""
    import typer

    from handreid_tui.cli.app import app

    try:
        return int(app(prog_name="handreid", standalone_mode=False) or 0)
    except typer.TyperException as error:
        if mistake := error.format_message().replace("Value error, ", "").rstrip("."):  # empty: the help was printed
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "handreid"
            print(f"Error: {mistake}. See `{command} --help`.", file=sys.stderr)
        return error.exit_code
    except typer.Abort:
        print("Aborted.", file=sys.stderr)
        return 1


def _terminal_ui() -> int:
    from handreid_tui.settings import choose_places, read_user_file
    from handreid_tui.ui.app import run_app

    return run_app(choose_places(read_user_file()))


if __name__ == "__main__":
    main()
