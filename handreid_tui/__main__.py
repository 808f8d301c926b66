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
        from handreid_tui.cli.app import app

        app()
    except UserError as error:
        from handreid_tui.cli.controls import sentence

        print(f"Error: {sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(0)


def _terminal_ui() -> int:
    from handreid_tui.settings import choose_places, read_user_file
    from handreid_tui.ui.app import run_app

    return run_app(choose_places(read_user_file()))


if __name__ == "__main__":
    main()
