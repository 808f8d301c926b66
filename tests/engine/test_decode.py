"""One decoder: every picture as a viewer shows it, at the brightness it was written with, or a reason why not."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.data import decode
from engine.data.decode import Undecodable, read_inside, read_picture

Grey = NDArray[np.uint8]
# How a file must be stored so that each EXIF orientation shows it upright
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def hand() -> Grey:
    """Grey values from 0 to 252, wider than high, with a bright corner."""
    grey = np.add.outer(np.arange(48) * 2, np.arange(64) * 2).astype(np.uint8)
    grey[:8, :8] = 252
    return grey


def shown(path: Path) -> Grey:
    image = read_picture(path, 64).image
    assert image.mode == "RGB"
    return np.asarray(image)[..., 1]


def stored(upright: Grey, orientation: int) -> Image.Image:
    image = Image.fromarray(upright)
    turn = STORED[orientation]
    return image if turn is None else image.transpose(turn)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif", "lzw.tif", "deep.png", "deep.tif"])
def test_a_picture_is_upright_whatever_its_orientation(hand: Grey, tmp_path: Path, orientation: int, kind: str) -> None:
    image, path = stored(hand, orientation), tmp_path / f"hand.{kind}"
    if "deep" in kind:
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = orientation
    how: dict[str, Any] = {"tiffinfo": {274: orientation}} if path.suffix == ".tif" else {"exif": exif}
    how |= {"jpg": {"quality": 100}, "webp": {"lossless": True}, "lzw.tif": {"compression": "tiff_lzw"}}.get(kind, {})
    (image.convert("RGB") if kind == "webp" else image).save(path, **how)
    assert np.abs(shown(path).astype(int) - hand).max() <= (1 if kind == "jpg" else 0)


@pytest.mark.parametrize("name", ["0.jpg", "0.png"])
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0junk" * 9])
def test_a_damaged_exif_block_costs_no_picture(hand: Grey, tmp_path: Path, name: str, exif: bytes) -> None:
    Image.fromarray(hand).save(tmp_path / name, exif=exif)
    assert shown(tmp_path / name).shape == hand.shape


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("deepen", "bits"),
    [
        (lambda g: g.astype(np.uint16) * 257, 16),
        (lambda g: g.astype(np.uint16) << 8, 16),
        (lambda g: g.astype(np.uint16) << 6, 14),
        (lambda g: g.astype(np.uint16) << 4, 12),
        (lambda g: np.round(g * (4095 / 255)).astype(np.uint16), 12),
        (lambda g: g.astype(np.uint16) << 2, 10),
        (lambda g: g.astype(np.uint16), 8),
    ],
)
def test_16_bit_containers_give_what_8_bits_give(
    hand: Grey, tmp_path: Path, deepen: Any, bits: int, suffix: str
) -> None:
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(deepen(hand)).save(path)
    assert (shown(path) == hand).all()
    assert read_picture(path, 64).assumed == ("I", bits)


@pytest.mark.parametrize(
    ("deepen", "assumed"),
    [
        (lambda g: g.astype(np.int32), ("I", 8)),
        (lambda g: g.astype(np.int32) * 257, ("I", 16)),
        (lambda g: g.astype(np.int32) << 23, ("I", 31)),
        (lambda g: (g / 255).astype(np.float32), ("F", 0)),
        (lambda g: g.astype(np.float32), ("F", 8)),
        (lambda g: g.astype(np.float32) * 257, ("F", 16)),
    ],
)
def test_32_bit_and_floating_point_tiffs_give_what_8_bits_give(
    hand: Grey, tmp_path: Path, deepen: Any, assumed: tuple[str, int]
) -> None:
    Image.fromarray(deepen(hand)).save(tmp_path / "deep.tif")
    assert (shown(tmp_path / "deep.tif") == hand).all()
    assert read_picture(tmp_path / "deep.tif", 64).assumed == assumed


def tiff(path: Path, rows: bytes, size: tuple[int, int], bits: int, **tags: int) -> None:
    """An uncompressed little-endian TIFF with one channel, written by hand: Pillow writes no such depths."""
    numbers = {"photometric": 262, "sample_format": 339, "largest": 281}
    entries = {256: size[0], 257: size[1], 258: bits, 259: 1, 262: 1, 273: 0, 277: 1, 278: size[1], 279: len(rows)}
    entries |= {numbers[name]: value for name, value in tags.items()}
    start = 8 + 2 + 12 * len(entries) + 4
    entries[273] = start
    body = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in sorted(entries.items()))
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4) + rows)


def packed_12(grey: Grey) -> bytes:
    pairs = (grey.astype(int) << 4).reshape(-1, 2).tolist()
    return b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)


def test_what_a_tiff_declares_is_not_assumed(hand: Grey, tmp_path: Path) -> None:
    dark = hand // 4
    tiff(tmp_path / "packed.tif", packed_12(dark), (64, 48), 12)
    tiff(tmp_path / "declared.tif", (dark.astype("<u2") << 4).tobytes(), (64, 48), 16, largest=4095)
    for name in ("packed.tif", "declared.tif"):
        picture = read_picture(tmp_path / name, 64)
        assert picture.assumed is None
        assert (np.asarray(picture.image)[..., 0] == dark).all()


def test_white_may_be_zero_at_any_depth(hand: Grey, tmp_path: Path) -> None:
    tiff(tmp_path / "8.tif", (255 - hand).tobytes(), (64, 48), 8, photometric=0)
    tiff(tmp_path / "16.tif", (65535 - hand.astype("<u2") * 257).tobytes(), (64, 48), 16, photometric=0)
    floats = (1 - hand / 255).astype("<f4").tobytes()
    tiff(tmp_path / "float.tif", floats, (64, 48), 32, photometric=0, sample_format=3)
    for name in ("8.tif", "16.tif", "float.tif"):
        assert (shown(tmp_path / name) == hand).all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full((8, 8), np.nan, np.float32), "NaN or infinite"),
        (np.full((8, 8), np.inf, np.float32), "NaN or infinite"),
        (np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8), "negative values"),
        (np.full((8, 8), -5, np.int32), "negative values"),
        (np.full((8, 8), 1e20, np.float32), "range is unknown"),
    ],
)
def test_values_whose_range_cannot_be_known_are_refused(tmp_path: Path, values: NDArray[Any], reason: str) -> None:
    Image.fromarray(values).save(tmp_path / "deep.tif")
    with pytest.raises(Undecodable, match=reason):
        read_picture(tmp_path / "deep.tif", 64)


def png(path: Path, rows: NDArray[Any], colour: int) -> None:
    """A PNG with 16 bits a channel, written by hand: Pillow writes none."""
    import zlib

    height, width = rows.shape[:2]

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


def test_colour_with_16_bits_a_channel_is_read_or_refused_but_never_black(hand: Grey, tmp_path: Path) -> None:
    colour = np.repeat(hand[..., None].astype(np.uint16), 3, 2)
    png(tmp_path / "full.png", colour * 257, colour=2)
    assert (shown(tmp_path / "full.png") == hand).all()
    png(tmp_path / "low.png", colour << 4, colour=2)
    with pytest.raises(Undecodable, match="16 bits a channel, of which the upper 4 are unused"):
        read_picture(tmp_path / "low.png", 64)
    png(tmp_path / "black.png", colour * 0, colour=2)
    assert shown(tmp_path / "black.png").max() == 0


@pytest.mark.parametrize("hidden", [0, 90, 255])
@pytest.mark.parametrize("kind", ["RGBA.png", "LA.png", "P.png", "RGBA.webp", "RGBA.tif", "trns.png"])
def test_what_an_alpha_channel_hides_is_white(tmp_path: Path, kind: str, hidden: int) -> None:
    grey = np.full((16, 16), 40, np.uint8)
    grey[:8] = hidden
    alpha = Image.fromarray(np.where(np.arange(16)[:, None] < 8, 0, 255).astype(np.uint8).repeat(16, 1))
    path = tmp_path / kind
    if kind == "trns.png":
        grey[:8] = 7
        Image.fromarray(grey).convert("RGB").save(path, transparency=(7, 7, 7))
    else:
        image = Image.fromarray(grey).convert("LA" if kind.startswith("LA") else "RGBA")
        image.putalpha(alpha)
        if kind.startswith("P"):
            image = image.quantize(4)
        image.save(path, **({"lossless": True, "exact": True} if kind.endswith("webp") else {}))
    rows = shown(path)[:, 3]
    assert rows[:8].min() == 255
    assert abs(int(rows[12]) - 40) <= 1


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1"])
def test_other_modes_are_colour_as_before(hand: Grey, tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(hand).convert("RGB").convert(mode)
    path = tmp_path / ("hand.tif" if mode == "CMYK" else "hand.png")
    image.save(path)
    assert (np.asarray(read_picture(path, 64).image) == np.asarray(image.convert("RGB"))).all()


def test_heic_is_read_where_pillow_heif_is_installed(hand: Grey, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(Image.fromarray(hand).convert("RGB")).save(tmp_path / "hand.jpg", quality=-1)  # the name may lie
    assert np.abs(shown(tmp_path / "hand.jpg").astype(int) - hand).mean() < 2


def test_heic_without_pillow_heif_names_the_way_out(
    hand: Grey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "reads_heic", lambda: False)
    monkeypatch.setattr(decode, "_formats", lambda: ("JPEG", "PNG"))
    (tmp_path / "hand.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400))
    with pytest.raises(Undecodable, match=r"pip install 'handreid\[heic\]'"):
        read_picture(tmp_path / "hand.heic", 64)


def test_a_very_large_picture_is_decoded(tmp_path: Path) -> None:
    Image.new("L", (16_400, 12_300), 200).save(tmp_path / "phone.jpg")  # more than Pillow allows by itself
    picture = read_picture(tmp_path / "phone.jpg", 224).image
    assert 448 <= picture.width <= 16_400 / 8 and picture.getpixel((9, 9)) == (200, 200, 200)


def test_a_header_that_claims_a_monstrous_picture_is_refused(hand: Grey, tmp_path: Path) -> None:
    png(tmp_path / "bomb.png", np.zeros((1, 1, 3), np.uint16), colour=2)
    content = bytearray((tmp_path / "bomb.png").read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "bomb.png").write_bytes(content)
    with pytest.raises(Undecodable, match="60000 x 60000 pixels"):
        read_picture(tmp_path / "bomb.png", 64)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"<!DOCTYPE html><title>Sign in</title>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),  # opening it would start a program
        (b"\xff\xd8\xff\xe0" + bytes(40), "."),
        (b"BM" + bytes(60), "."),
        (b"II*\0" + b"\xff" * 60, "."),
    ],
)
def test_what_is_no_picture_is_a_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(Undecodable, match=reason):
        read_picture(tmp_path / "x.jpg", 64)


@pytest.mark.parametrize("name", ["hand.jpg", "hand.png", "hand.tif", "hand.webp", "hand.bmp"])
def test_a_truncated_picture_is_never_used(tmp_path: Path, name: str) -> None:
    Image.effect_noise((200, 160), 60).convert("RGB").save(tmp_path / name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(Undecodable):
        read_picture(tmp_path / name, 64)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "hand.jpg")
    with pytest.raises(Undecodable, match="not a regular file"):
        read_picture(tmp_path / "hand.jpg", 64)
    with pytest.raises(Undecodable, match="no such file"):
        read_picture(tmp_path / "gone.jpg", 64)


@pytest.mark.parametrize("path", ["../secret.png", "link/secret.png", "/etc/passwd", "a\0b", "x" * 5000])
def test_a_run_directory_opens_no_picture_outside_its_data_set(hand: Grey, tmp_path: Path, path: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    Image.fromarray(hand).save(tmp_path / "secret.png")
    Image.fromarray(hand).save(root / "own.png")
    (root / "link").symlink_to(tmp_path)
    assert read_inside(root, "own.png", 64).size == (64, 48)
    with pytest.raises(Undecodable):
        read_inside(root, path, 64)


def test_the_decoder_needs_neither_torch_nor_numpy() -> None:
    code = "import sys, engine.data.decode; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
