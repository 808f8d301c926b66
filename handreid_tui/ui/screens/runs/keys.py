"""The keys of the page Runs."""

from __future__ import annotations

from textual.binding import Binding

from handreid_tui.ui.keymap import named

KEYS = named(
    "runs",
    [
        Binding("enter", "open", "Open", tooltip="Open the marked runs, or this one, in Live"),
        Binding("space", "mark", "Mark", tooltip="Mark the run, for actions on several runs"),
        Binding("ctrl+a", "mark_all", "Mark all", show=False, tooltip="Mark all visible runs, or none"),
        Binding("asterisk", "invert", "Invert", show=False, tooltip="Invert the marks of the visible runs"),
        Binding("V", "mark_to", "Mark range", show=False, tooltip="Mark from the last mark to this run"),
        Binding("L", "again", "Launch again", show=False, tooltip="Launch again like this run, with the next seed"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Filter the runs"),
        Binding("left,h", "sort(-1)", "Sort", key_display="←→", tooltip="Sort by the column to the left"),
        Binding("right,l", "sort(1)", "Sort by the column to the right", show=False),
        Binding("C", "columns", "Columns", tooltip="Choose the columns: settings and metrics"),
        Binding("R", "reverse", "Reverse", show=False, tooltip="Reverse the order"),
        Binding("t", "tag", "Tag", tooltip="Edit the tags"),
        Binding("n", "note", "Note", tooltip="Edit the note"),
        Binding("E", "note_in_editor", "Note in editor", show=False, tooltip="Edit the note in $EDITOR"),
        Binding("N", "name", "Name", show=False, tooltip="Rename the run"),
        Binding("c", "compare", "Compare", tooltip="Compare the marked runs"),
        Binding("v", "retrieval", "Retrieval", show=False, tooltip="Open the run's queries and matches in Retrieval"),
        Binding("s", "stop", "Stop", show=False, tooltip="Stop the runs after the current step, with a checkpoint"),
        Binding("r", "resume", "Resume", show=False, tooltip="Resume the runs from their last checkpoint"),
        Binding("a", "archive", "Archive", show=False, tooltip="Archive the runs, or restore them"),
        Binding("A", "show_archived", "Show archived", show=False, tooltip="Show or hide archived runs"),
        Binding("d", "delete", "Delete", show=False, tooltip="Move the runs to the trash"),
        Binding("U", "undo", "Undo", show=False, tooltip="Restore the most recently deleted runs"),
        Binding("i", "details", "Details", show=False, tooltip="Show or hide the details"),
        Binding("escape", "back", "Back", show=False, tooltip="Leave the filter; again: clear it, then the marks"),
    ],
)
