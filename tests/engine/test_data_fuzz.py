"""Any folder and any table: a split or one sentence, never a traceback; nothing outside is read, nothing is written."""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.contract.config import DataConfig
from engine.contract.errors import UserError
from engine.contract.layouts import formats
from engine.data.cache import Resize, load_pixels
from engine.data.catalog import Split
from engine.data.check import check_folder
from engine.data.duplicates import copies
from engine.data.split import open_split
from tests.support.data_folders import HEADER, row

FAST, LONG = 60, 10_000  # cases of each generator
SIDE = 8


def sentence_or(read: Callable[[], Any]) -> Any:
    """What `read` returns, None where it refuses in one sentence; any other error is a fault."""
    try:
        return read()
    except UserError as error:
        assert str(error).strip() and len(str(error)) < 5000
        return None


@contextmanager
def place() -> Iterator[Path]:
    """A folder to fill, with a secret picture beside it; at the end, nothing else may be there."""
    with tempfile.TemporaryDirectory() as outer:
        (Path(outer) / "secret.jpg").write_bytes(contents()["jpg"])
        (Path(outer) / "data").mkdir()
        yield Path(outer) / "data"
        assert sorted(path.name for path in Path(outer).iterdir()) == ["cache", "data", "secret.jpg"]


def used(split: Split, root: Path, cache_folder: Path) -> None:
    """Decode a split as training does, and check that no image is outside its folder."""
    outside = (root.parent / "secret.jpg").resolve()
    for image in split.images:
        assert (split.root / image.path).resolve() != outside
        assert (split.root / image.path).resolve().is_relative_to(root.resolve())
    pixels = sentence_or(lambda: load_pixels(split.root, split.images, Resize(SIDE), cache_folder))
    if pixels is not None:
        assert pixels.array.shape == (len(split.images), SIDE, SIDE, 3)
        assert all(isinstance(text, str) for text in copies(split, pixels.thumbnails))


def examine(root: Path, **how: Any) -> None:
    before = sorted(str(path) for path in root.rglob("*"))
    (root.parent / "cache").mkdir(exist_ok=True)
    checked = sentence_or(lambda: check_folder(root, **how))
    if checked is not None:
        told = json.loads(json.dumps(checked))
        assert told["verdict"].count("\n") == 0 or any("\n" in path for path in before)
        assert set(told["trainable"]) <= set(told["subsets"])
    given_settings = {"format": how["format"], "identity_pattern": how["identity_pattern"]}
    split = sentence_or(lambda: open_split(DataConfig(source=str(root), trials=2, **given_settings)))
    if split is not None:
        used(split, root, root.parent / "cache")
    assert sorted(str(path) for path in root.rglob("*")) == before


# Folders


@cache
def contents() -> dict[str, bytes]:
    """What a file may hold, by a word."""
    grey = np.arange(12 * 10, dtype=np.uint8).reshape(10, 12)

    def saved(values: Any, kind: str, mode: str | None = None, **how: Any) -> bytes:
        out = io.BytesIO()
        image = Image.fromarray(values)
        (image.convert(mode) if mode else image).save(out, kind, **how)
        return out.getvalue()

    turned = Image.Exif()
    turned[0x0112] = 6
    found = {
        "jpg": saved(grey, "JPEG"),
        "turned": saved(grey, "JPEG", exif=turned),
        "cmyk": saved(grey, "JPEG", "CMYK"),
        "png": saved(grey, "PNG"),
        "alpha": saved(grey, "PNG", "RGBA"),
        "palette": saved(grey, "PNG", "P"),
        "deep": saved(grey.astype(np.uint16) * 200, "PNG"),
        "float": saved(grey.astype(np.float32) / 255, "TIFF"),
        "nan": saved(np.full((5, 5), np.nan, np.float32), "TIFF"),
        "tiff": saved(grey, "TIFF", tiffinfo={274: 8}),
        "bmp": saved(grey, "BMP"),
        "webp": saved(grey, "WEBP", "RGB"),
        "gif": saved(grey, "GIF"),
        "empty": b"",
        "text": b"no picture",
        "lfs": b"version https://git-lfs.github.com/spec/v1\n",
        "heic": b"\0\0\0\x18ftypheic" + bytes(40),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "table": "\n".join([HEADER, *(row(p, f"{p}_{n}.jpg") for p in (1, 2, 2001, 2002) for n in range(2))]).encode(),
    }
    return found | {f"cut {kind}": found[kind][: len(found[kind]) // 2] for kind in ("jpg", "png", "tiff", "float")}


NAMES = (
    *(
        "p1",
        "p2",
        "P1",
        "p1 ",
        "anna",
        "1",
        "2",
        "001",
        "448",
        "session1",
        "left",
        "Hands",
        "hands",
        "HANDS",
        "archive",
    ),
    *("1-501", "502-712", "Original Images", "train", "train_all", "val", "test", "query0", "gallery0", "gallery0_all"),
    *(
        "train_val_test_split_dorsal_r",
        ".hidden",
        "M\udcfcller",
        "a [b]",
        "Ω",
        "é",
        "e\u0301",
        "x" * 200,
        "a\nb",
        "-rf",
    ),
)
FILES = (
    *("1_1", "1_2", "2_1", "2_2", "2001_0", "2001_1", "2002_1", "448_1", "449_2", "IMG (1)", "1-R3", "hand", "a\tb"),
    *(".hidden", "M\udcfcller", "[red]", "%s", "x" * 180, "HandInfo", "handinfo", "..."),
)
SUFFIXES = (".jpg", ".JPG", ".jpeg", ".png", ".tif", ".webp", ".bmp", ".heic", ".gif", ".cr2", ".csv", ".txt", "", ".")
folder_names = st.lists(st.sampled_from(NAMES), max_size=3)
files = st.tuples(folder_names, st.sampled_from(FILES), st.sampled_from(SUFFIXES), st.sampled_from(sorted(contents())))
links = st.tuples(
    folder_names,
    st.sampled_from([*FILES, *NAMES]),
    st.sampled_from(["../secret.jpg", "..", ".", "/", "nowhere", "p1", "p1/1_1.jpg", "itself"]),
)
ordinary = st.lists(
    st.tuples(st.sampled_from(["p1", "p2", "anna", "001", "1-501"]), st.sampled_from(FILES[:9])), max_size=8
)
PATTERNS = (None, None, r"^(\d+)_", r"(?P<identity>.+)_", r"/([^/]*)/", r"^(x?)", r"(.*)")
how_read = st.fixed_dictionaries(
    {
        "format": st.sampled_from(["auto"] * 8 + list(formats())),
        "identity_pattern": st.sampled_from(PATTERNS),
        "decode": st.booleans(),
        "seed": st.integers(0, 3),
    }
)


def folder(
    regular: list[tuple[str, str]],
    strange: list[tuple[list[str], str, str, str]],
    linked: list[tuple[list[str], str, str]],
    pipe: bool,
    how: dict[str, Any],
) -> None:
    with place() as root:
        for identity, name in regular:
            _write(root, [identity], f"{name}.jpg", contents()["jpg"])
        for parents, name, suffix, kind in strange:
            _write(root, parents, name + suffix, contents()[kind])
        for parents, name, target in linked:
            inside = root.joinpath(*parents)
            with suppress(OSError, RuntimeError):
                if inside.resolve().is_relative_to(root.resolve()):  # not through a link that was made before
                    inside.mkdir(parents=True, exist_ok=True)
                    (inside / name).symlink_to(name if target == "itself" else target)
        if pipe:
            with suppress(OSError):
                os.mkfifo(root / "pipe.jpg")
        examine(root, **how)


def _write(root: Path, parents: list[str], name: str, content: bytes) -> None:
    with suppress(OSError):  # a file where a folder should be, or the name of a folder
        root.joinpath(*parents).mkdir(parents=True, exist_ok=True)
        root.joinpath(*parents, name).write_bytes(content)


# Tables

PEOPLE = (1, 2, 1037, 1100, 2001, "1200000 ")
IMAGES = tuple(f"Hand_{person}{shot}.jpg".replace(" ", "") for person in PEOPLE for shot in range(2))
COLUMNS = HEADER.split(",")
values = st.sampled_from(
    ["", " ", "0", "1", "27", "male", "a\nb", 'say "hi"', "x;y", "1,5", "é", "\x00", "NaN", "9" * 30]
)
aspects = st.sampled_from(
    ["dorsal right"] * 6 + ["palmar left", "Dorsal_Right", "right dorsal", "dorsal", "", "palmar  right"]
)
rows = st.lists(
    st.tuples(
        st.sampled_from([*map(str, PEOPLE), "0000001", "1.0", "-1", "abc", ""]) | values,
        st.sampled_from(["0"] * 8 + ["1", "0.0", "False", "x", ""]),
        aspects,
        st.sampled_from([*IMAGES] * 2 + ["gone.jpg", "../secret.jpg", "/etc/passwd", "Hand_10.JPG", "", "a\\b.jpg"]),
        values,
    ),
    max_size=14,
)
headers = st.sampled_from([COLUMNS] * 6 + [[""], [], COLUMNS[::-1], [c.upper() for c in COLUMNS]])
layout = st.fixed_dictionaries(
    {
        "separator": st.sampled_from([",", ",", ";", "\t", "|", ":", " "]),
        "quote": st.sampled_from(['"', "", "'", "always"]),
        "newline": st.sampled_from(["\n", "\r\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32"]),
        "first": st.sampled_from(["", "", "", "sep=;\n", "\n\n", "# comment\n"]),
        "index": st.booleans(),
        "shuffle": st.permutations(range(len(COLUMNS))) | st.just(list(range(len(COLUMNS)))),
        "uuid": st.booleans(),
        "name": st.sampled_from(["HandInfo.csv", "HandInfo.txt", "handinfo.CSV", "HandInfo.tsv"]),
        "images": st.sampled_from(["Hands", "Hands/Hands", "pictures/of hands", ".", "Hands/a"]),
    }
)


def table(header: list[str], lines: list[tuple[str, ...]], form: dict[str, Any], junk: bytes, at: int) -> None:
    order: list[int] = form["shuffle"]

    def line(cells: list[str]) -> str:
        cells = [cells[place] for place in order if place < len(cells)]
        quote = '"' if form["quote"] == "always" else form["quote"]
        if quote:
            double = form["quote"] == "always"
            special = form["separator"] + quote + "\n"
            cells = [
                quote + cell.replace(quote, quote * 2) + quote if double or any(c in cell for c in special) else cell
                for cell in cells
            ]
        return form["separator"].join(cells)

    named = ["uuid" if form["uuid"] and name == "id" else name for name in header]
    text = [line(named)] if header != [""] else []
    for person, accessories, aspect, image, other in lines:
        text.append(line([person, other, "male", "fair", accessories, "0", aspect, image, "0"]))
    if form["index"]:
        text = [f"{number}{form['separator']}{each}" for number, each in enumerate(text)]
    whole = form["first"] + form["newline"].join(text)
    content = whole.encode(form["encoding"], errors="replace")
    content = content[: at % (len(content) + 1)] + junk + content[at % (len(content) + 1) :]
    with place() as root:
        pictures = root / form["images"]
        pictures.mkdir(parents=True, exist_ok=True)
        for name in IMAGES:
            (pictures / name).write_bytes(contents()["jpg"])
        (root / form["name"]).write_bytes(content)
        examine(root, format="auto", identity_pattern=None, decode=False)
        shutil.rmtree(root.parent / "cache")
        (root.parent / "cache").mkdir()


GENERATORS: list[tuple[Callable[..., None], list[Any]]] = [
    (folder, [ordinary, st.lists(files, max_size=6), st.lists(links, max_size=3), st.booleans(), how_read]),
    (table, [headers, rows, layout, st.just(b"") | st.binary(max_size=6), st.integers(0, 1 << 12)]),
]
each_generator = pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: generator[0].__name__)


def fuzz(generator: tuple[Callable[..., None], list[Any]], cases: int) -> int:
    check, strategies = generator
    tried = 0

    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.tuples(*strategies))
    def case(arguments: tuple[Any, ...]) -> None:
        nonlocal tried
        tried += 1
        check(*arguments)

    case()
    return tried


@each_generator
def test_any_data_set_gets_a_split_or_a_sentence(generator: tuple[Callable[..., None], list[Any]]) -> None:
    assert fuzz(generator, FAST) >= FAST


@pytest.mark.long
@each_generator
def test_ten_thousand_data_sets_get_a_split_or_a_sentence(
    generator: tuple[Callable[..., None], list[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    tried = fuzz(generator, LONG)
    with capsys.disabled():
        print(f"\n{generator[0].__name__}: {tried} cases")
    assert tried >= LONG
