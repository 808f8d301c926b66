"""Not there yet."""
from handreid_tui.screens.page import Page


class Empty(Page):
    page = "runs"

    def body(self):
        return ()


def make():
    return Empty()
