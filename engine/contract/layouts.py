"""Every layout of a data set, declared once: its name, what it looks like, and the module that reads it.

To add one, add an entry here and a module with `recognise(root, options) -> bool` and `read(root, options) -> Catalog`.
The choices and the check of `data.format`, the recognition and the table in docs/data.md follow from this.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """`looks_like` and `subsets` are cells of the table in docs/data.md; `needs` ends "it may hold …" in an error.

    `drawn`: the layout has no division of its own, so training and test people are drawn by the split seed.
    """

    looks_like: str
    subsets: str
    needs: str
    module: str
    drawn: bool = False


ROOM = "engine.data.layouts"
LAYOUTS: dict[str, Layout] = {  # in the order in which they are tried
    "names": Layout(
        "images whose names hold the identity, matched by `data.identity_pattern`",
        "`all`",
        "images whose names hold the identity",
        f"{ROOM}.names",
        drawn=True,
    ),
    "11k": Layout(
        "a table `HandInfo.csv` (or `.txt`) and the images that it names, in any folder beside or below it",
        "the four aspects, and `all`",
        "Hands and HandInfo.csv (11k)",
        f"{ROOM}.eleven_k",
    ),
    "hd": Layout(
        "`1-501/` and `502-712/`, or `Original Images/` (`Original_Images/`) with both; files `<id>_<n>.jpg` or a "
        "folder per id",
        "`all`",
        "1-501 and 502-712 (HD)",
        f"{ROOM}.hd",
    ),
    "prepared": Layout(
        "the tree of MBA-Net's and CLIP-HandID's preparation (`train`, `val`, `test`, `query0`, `gallery0`, "
        "`gallery0_all` …), or a folder with several of them",
        "by the tree's name: `…_dorsal_r` is `dorsal-right`; else `all`",
        "a tree with train, test, query0 and gallery0",
        f"{ROOM}.prepared",
    ),
    "folder": Layout(
        "one folder for each identity, with its images directly inside",
        "`all`",
        "one folder for each identity",
        f"{ROOM}.folder",
        drawn=True,
    ),
}


def formats() -> tuple[str, ...]:
    """The values of `data.format`."""
    return ("auto", *LAYOUTS)


def markdown_table() -> str:
    """The table of docs/data.md."""
    rows = (f"| `{name}` | {layout.looks_like} | {layout.subsets} |" for name, layout in LAYOUTS.items())
    return "\n".join(("| format | looks like | subsets |", "|---|---|---|", *rows))
