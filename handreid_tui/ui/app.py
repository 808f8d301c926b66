"""The terminal UI: a shell that wires the screens. What they show comes from the feed, in `screens/feed.py`.

Nothing here or in the first screen imports numpy, sqlmodel or scipy: the first frame does not wait for them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.timer import Timer

from engine.contract.errors import UserError
from handreid_tui.casework import CASES
from handreid_tui.settings import Places
from handreid_tui.ui.actions import PAGES, commands
from handreid_tui.ui.history_feed import Feed, FeedFailed, RunsChanged, Snapshot
from handreid_tui.ui.keymap import keymap_file, named, read_keymap, write_template
from handreid_tui.ui.notifications import Endings, Severity, in_two_lines
from handreid_tui.ui.page import Page
from handreid_tui.ui.preferences import Remembered
from handreid_tui.ui.terminal import messages_kept_out
from handreid_tui.ui.theme import DARK, LIGHT, THEMES
from handreid_tui.ui.typing_order import TypingOrder

SAVE_EVERY = 1.0  # seconds
# Views that are imported when they are first shown, and earlier for their keys, which the keymap file may name
WITH_KEYS = ("launch.tune_dialog", "retrieval.case_view", "runs.sweep_view")
TELL_AFTER = 1.0  # seconds from the end of a run to the word about it, so that several are told at once


def _opener(page: str) -> Callable[[], Screen[Any]]:
    """Imports a screen when it is first shown."""

    def make() -> Screen[Any]:
        screen: Screen[Any] = import_module(f"handreid_tui.ui.screens.{page}.screen").make()
        return screen

    return make


class HandreidApp(App[int]):
    """`handreid` without a command. Trainers are processes of their own: closing it leaves them alone."""

    TITLE = "handreid"
    BINDING_GROUP_TITLE = "Everywhere"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-normal"), (140, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (12, "-short"), (32, "-tall")]  # noqa: RUF012
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {page: _opener(page) for page in PAGES}

    BINDINGS: ClassVar[list[BindingType]] = named(
        "app",
        [
            *(
                Binding(str(number), f"go('{page}')", title, show=False, tooltip=f"Go to {title}")
                for number, (page, (title, _)) in enumerate(PAGES.items(), 1)
            ),
            Binding("question_mark,f1", "help", "Help", key_display="?", tooltip="Keys of this screen"),
            Binding("ctrl+t", "toggle_theme", "Light or dark", show=False, tooltip="Light or dark theme"),
            Binding("ctrl+o", "open_case", "Open a case", show=False, tooltip="Open a case of `handreid identify`"),
            Binding("ctrl+z", "suspend_process", "Suspend", show=False, tooltip="Suspend; `fg` in the shell continues"),
            Binding("q", "quit", "Quit", tooltip="Quit; trainers continue"),
        ],
    )

    DEFAULT_CSS = """
    HandreidApp { background: $background; }
    """
    # Words in the corner: at the top, where no button is; where it is narrow, in the place of the key bar.
    # In CSS, for Textual's own DEFAULT_CSS stands above ours.
    CSS = """
    ToastRack { dock: top; align: right top; margin: 1 0 0 0; }
    Toast { background: $panel; padding: 0 1; margin: 0 0 1 0; }
    .-narrow ToastRack { dock: bottom; margin: 0; max-height: 2; scrollbar-size-vertical: 0; }
    .-narrow Toast { width: 100%; max-width: 100%; margin: 0; }
    .-narrow ToastHolder { display: none; }
    .-narrow ToastHolder:last-child { display: block; }
    CommandPalette > .command-palette--help-text { color: $secondary; text-style: not bold; }
    Input > .input--placeholder, Input > .input--suggestion { color: $secondary; }
    """

    def __init__(self, places: Places, state_file: Path | None = None, case: Path | None = None) -> None:
        """case: the folder of a case to begin with."""
        self.remembered = Remembered(state_file, places.runs)
        page = self.remembered.get("app", "page", "launch")
        self.DEFAULT_MODE = page if page in PAGES else "launch"  # type: ignore[misc]
        super().__init__()
        self.places = places
        self._first_case = case
        self.snapshot = Snapshot()
        self.problem = ""
        self.keymap: dict[str, str] = {}
        self.endings = Endings()
        self._typing = TypingOrder(self)
        self._telling: Timer | None = None
        self._feed = Feed(places, self.post_message)
        for theme in THEMES:
            self.register_theme(theme)
        wanted = self.remembered.get("app", "theme", DARK.name)
        self.theme = wanted if wanted in self.available_themes else DARK.name

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        yield from commands(self, screen)
        yield from (c for c in super().get_system_commands(screen) if c.title == "Theme")
        yield SystemCommand("Edit keys", f"Other keys for any action: {keymap_file()}", self._edit_keys)
        yield SystemCommand("Screenshot", "Save the screen as SVG in the working folder", self._save_picture)

    def _save_picture(self) -> None:
        try:
            path = Path(self.save_screenshot(path=str(Path.cwd())))
        except OSError as error:
            self.notify(f"{Path.cwd()} cannot be written: {error.strerror}.", severity="error", markup=False)
        else:
            self.notify(f"Saved {path}.", markup=False)

    def on_load(self) -> None:
        # From Python 3.12 on, Textual has tasks start at once: the first page would mount before it is on the stack.
        asyncio.get_running_loop().set_task_factory(None)

    def on_mount(self) -> None:
        self.theme_changed_signal.subscribe(self, lambda theme: self.remembered.put("app", "theme", theme.name))
        self.screen.call_after_refresh(self.set_timer, 0.02, self._start)
        self.set_interval(SAVE_EVERY, self._save)
        with suppress(ValueError, RuntimeError):  # not in the main thread
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hang_up)

    def _start(self) -> None:
        """After the first frame: begin to read, and load the other screens' modules."""
        gc.freeze()  # what the first frame needed stays: no later collection looks at it
        gc.enable()
        self.run_worker(self._feed.run, name="feed", thread=True, exit_on_error=False)
        self.run_worker(self._load_screens, name="load screens", thread=True, exit_on_error=False)
        if self._first_case:
            self.open_case(self._first_case)

    def _load_screens(self) -> None:
        for page in PAGES:
            import_module(f"handreid_tui.ui.screens.{page}.screen")
        for module in WITH_KEYS:
            import_module(f"handreid_tui.ui.screens.{module}")
        self.call_from_thread(self._read_keys)

    def _read_keys(self) -> None:
        """Take over the user's keys; with a mistake in their file, those of before stay."""
        try:
            self.keymap = read_keymap(keymap_file())
        except UserError as error:
            self.notify(str(error), severity="error", timeout=10, markup=False)
            return
        self.set_keymap(self.keymap)

    def _edit_keys(self) -> None:
        """Open the keymap file in the editor, with every action in it the first time."""
        from handreid_tui.ui.other_programs import edit_file

        path = keymap_file()
        try:
            if not path.exists():
                write_template(path)
            edit_file(self, path)
        except UserError as error:
            self.notify(f"{error} The file is {path}.", severity="error", timeout=10, markup=False)
        self._read_keys()

    def _save(self) -> None:
        if self.remembered.changed:
            self.run_worker(self.remembered.write, name="save", thread=True, exit_on_error=False)

    def _hang_up(self) -> None:
        """The terminal is gone: save, and die as a program does then."""
        self.remembered.write()
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGHUP)

    def on_unmount(self) -> None:
        self._feed.close()
        self.remembered.write()

    async def on_event(self, event: events.Event) -> None:
        """As Textual does, but each key waits until the one before it has taken effect."""
        if not isinstance(event, events.Key) or event.is_forwarded or not self._screen_stack:
            await super().on_event(event)
        elif not self._typing.holds(event):
            target, screen = self.focused or self.screen, self.screen
            await super().on_event(event)
            self._typing.follow(target, screen)

    # --- what the feed says

    def on_runs_changed(self, message: RunsChanged) -> None:
        before, self.snapshot, self.problem = self.snapshot, message.snapshot, ""
        news = message.changed and self.endings.note(before.runs, self.snapshot.runs, message.changed)
        if news and self._telling is None:
            self._telling = self.set_timer(TELL_AFTER, self._tell_endings)
        for screen in self.screen_stack:
            if isinstance(screen, Page):
                screen.show_snapshot(self.snapshot, message.changed)

    def _tell_endings(self) -> None:
        self._telling = None
        for text, severity in self.endings.tell():
            self.notify(text, severity=severity, timeout=8, markup=False)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        if self._screen_stack and self.screen.has_class("-narrow"):
            message = in_two_lines(message, self.size.width - 3)
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def on_feed_failed(self, message: FeedFailed) -> None:
        self.problem = message.text
        for screen in self.screen_stack:
            if isinstance(screen, Page):
                screen.show_problem(self.problem)

    def look_again(self) -> None:
        """Read what changed now, not at the next tick: after an action of the user."""
        self._feed.wake()

    def open_page(self, page: str, numbers: list[int], seeds: Sequence[int] = ()) -> None:
        """Go to a page and show these runs there; on Launch, to make them again with these seeds."""
        self.action_go(page)
        if self.current_mode == page and isinstance(self.screen, Page):
            self.screen.call_after_refresh(self.screen.open_runs, numbers, seeds)

    def open_case(self, folder: Path) -> None:
        """Show a case on Retrieval."""
        from handreid_tui.ui.screens.retrieval.case_view import CaseView

        self.action_go("retrieval")
        self.push_screen(CaseView(folder))

    # --- actions

    def action_open_case(self) -> None:
        from handreid_tui.casework.case import case_folder
        from handreid_tui.ui.dialogs import Prompt

        def answered(text: str | None) -> None:
            if text is not None:
                self.open_case(case_folder(CASES, text.strip()))

        if len(self.screen_stack) == 1:
            hint = f"a number or name in {CASES.absolute()}, a folder, or last"
            self.push_screen(
                Prompt("Open a case", "last", hint, lambda text: case_folder(CASES, text.strip())), answered
            )

    def action_go(self, page: str) -> None:
        if len(self.screen_stack) == 1 and page != self.current_mode:
            self.switch_mode(page)
            self.remembered.put("app", "page", page)

    def action_help(self) -> None:
        from handreid_tui.ui.help import Help

        if not isinstance(self.screen, Help):
            self.push_screen(Help(self.screen))

    def action_toggle_theme(self) -> None:
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name


def run_app(places: Places, case: Path | None = None) -> int:
    """Show the terminal UI, with a case to begin with, until the user quits. Returns the exit status."""
    app = HandreidApp(places, case=case)
    with messages_kept_out():
        app.run()
    return app.return_code or 0
