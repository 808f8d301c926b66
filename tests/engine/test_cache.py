"""Decoded once, shared by all runs, made anew when the source changes; a damaged image is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from engine.contract.errors import UserError
from engine.data import cache
from engine.data.cache import Resize, decode, load_pixels
from engine.data.catalog import Image
from engine.training.setup import prepare
from tests.support.training import events_of, small_config, train_in


def images_of(root: Path) -> list[Image]:
    return [Image(path.name, path.name, "x") for path in sorted(root.iterdir())]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    root.mkdir()
    for number in range(5):
        Pillow.fromarray(np.full((40, 60, 3), 40 * number, np.uint8)).save(root / f"{number}.png")
    return root


def test_images_come_in_order_at_the_size_asked_for(pictures: Path, tmp_path: Path) -> None:
    pixels = load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache")
    assert pixels.array.shape == (5, 24, 24, 3)
    assert pixels.array[:, 5, 5, 0].tolist() == [0, 40, 80, 120, 160]
    assert pixels.bad == {}


def test_a_second_run_decodes_nothing(pictures: Path, tmp_path: Path) -> None:
    calls: list[int] = []
    for _ in range(2):
        load_pixels(
            pictures, images_of(pictures), Resize(24), tmp_path / "cache", lambda done, total: calls.append(done)
        )
    assert calls == [1, 2, 3, 4, 5]


def test_a_changed_source_is_decoded_again(pictures: Path, tmp_path: Path) -> None:
    load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache")
    Pillow.fromarray(np.full((40, 60, 3), 255, np.uint8)).save(pictures / "0.png")
    os.utime(pictures / "0.png", (1, 1))
    assert load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache").array[0].min() == 255


def test_a_cut_cache_file_is_made_anew(pictures: Path, tmp_path: Path) -> None:
    load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "pixels").glob("*.npy")
    file.write_bytes(file.read_bytes()[:200])
    assert load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache").array[4, 0, 0, 0] == 160


@pytest.mark.long
def test_several_processes_build_one_cache(pictures: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.engine.test_cache import Resize, images_of, load_pixels; "
        "root = Path(sys.argv[1]); print(load_pixels(root, images_of(root), Resize(24), Path(sys.argv[2])).array.sum())"
    )
    words = [sys.executable, "-c", script, str(pictures), str(tmp_path / "cache")]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert len({process.communicate()[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)
    assert len(list((tmp_path / "cache" / "pixels").glob("*.npy"))) == 1


def test_one_damaged_image_in_a_hundred_is_left_out_with_a_warning(hands: Path, tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for folder in (few, many):
        shutil.copytree(hands, folder)
    names = sorted(path.name for path in (few / "Hands").iterdir())
    rows = (few / "HandInfo.csv").read_text().splitlines()
    for copy in range(2):  # 96 images: 1 % is less than one of them, so there must be more
        for name in names:
            shutil.copy(few / "Hands" / name, few / "Hands" / name.replace("Hand_", f"Copy{copy}_"))
        rows += [row.replace("Hand_", f"Copy{copy}_") for row in rows[1:97]]
    (few / "HandInfo.csv").write_text("\n".join(rows) + "\n")
    for folder in (few, many):
        for name in names[: 1 if folder == few else 2]:
            (folder / "Hands" / name).write_bytes(b"not an image")
    train_in(tmp_path / "run", small_config("ce", few, train__epochs=1))
    assert any(names[0] in message["text"] for message in events_of(tmp_path / "run", "message"))
    with pytest.raises(UserError, match=f"2 of 96 images .* {names[0]}"):
        prepare(small_config("ce", many))


def test_an_unwritable_cache_names_the_way_out(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(UserError, match="HANDREID_CACHE"):
        load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache")


def test_a_change_of_the_decoder_makes_a_new_cache(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache")
    monkeypatch.setattr(cache, "VERSION", "another")
    load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "pixels").glob("*.npy"))) == 2


def test_an_image_that_can_be_decoded_later_is_tried_again(pictures: Path, tmp_path: Path) -> None:
    for number in range(100, 200):
        shutil.copy(pictures / "3.png", pictures / f"{number}.png")
    whole, stat = (pictures / "0.png").read_bytes(), (pictures / "0.png").stat()
    (pictures / "0.png").write_bytes(bytes(len(whole)))
    os.utime(pictures / "0.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert list(load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache").bad) == ["0.png"]
    (pictures / "0.png").write_bytes(whole)
    os.utime(pictures / "0.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert load_pixels(pictures, images_of(pictures), Resize(24), tmp_path / "cache").bad == {}


def test_a_dark_deep_picture_is_scaled_like_the_others(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    for number, brightest in enumerate((4095, 100, 900)):
        values = np.zeros((40, 60), np.uint16)
        values[:, 30:] = brightest
        Pillow.fromarray(values).save(root / f"{number}.png")
    pixels = load_pixels(root, images_of(root), Resize(24), tmp_path / "cache")
    assert pixels.array[:, 5, 20, 0].tolist() == [255, 100 >> 4, 900 >> 4]
    assert pixels.notes == (
        "3 images of 3 have 16- or 32-bit values and declare no range: read as 12 bits, the smallest "
        "range that contains all of their values.",
    )


def test_names_that_are_no_utf8_are_decoded_and_cached(tmp_path: Path) -> None:
    root = tmp_path / "latin1"
    root.mkdir()
    for number in range(3):
        path = os.fsencode(root) + b"/M\xfcller%d.png" % number
        Pillow.fromarray(np.full((8, 8, 3), number, np.uint8)).save(os.fsdecode(path))
    assert load_pixels(root, images_of(root), Resize(8), tmp_path / "cache").array[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_reading_a_jpeg_at_a_fraction_of_its_size_changes_little(tmp_path: Path) -> None:
    waves = (np.sin(np.arange(1600) / 60)[None] * np.cos(np.arange(1200) / 80)[:, None] * 100 + 128).astype(np.uint8)
    Pillow.fromarray(np.repeat(waves[:, :, None], 3, 2)).save(tmp_path / "large.jpg", quality=95)
    drafted = decode(tmp_path / "large.jpg", Resize(224))
    with Pillow.open(tmp_path / "large.jpg") as image:
        whole = np.asarray(image.convert("RGB").resize((224, 224), Pillow.Resampling.BICUBIC))
    assert np.abs(drafted.pixels.astype(int) - whole).mean() < 1
