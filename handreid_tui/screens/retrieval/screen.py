"""Not there yet."""
from handreid_tui.screens.page import Page


class Empty(Page):
    page = "retrieval"

    def body(self):
        return ()


def make():
    return Empty()
