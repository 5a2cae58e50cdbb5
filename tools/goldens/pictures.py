"""Writes crates/input/media/tests/goldens/{small.png,small.jpg,pictures.txt}: a small picture and the
CRC-32 of what Pillow makes of it: resized, grey, and scaled and cropped as torchvision does.

Needs the package pillow (13.0.0). Run from the repository root:

    python tools/goldens/pictures.py
"""

import zlib
from pathlib import Path

from PIL import Image

OUT = Path("crates/input/media/tests/goldens")
W, H = 23, 17
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

picture = Image.new("RGB", (W, H))
seed = 7
for y in range(H):
    for x in range(W):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        edge = 255 if (x // 5 + y // 4) % 2 else 20
        picture.putpixel((x, y), (edge, (x * 11) % 256, (seed >> 24)))
picture.save(OUT / "small.png")
picture.save(OUT / "small.jpg", quality=90)
lines = []


def add(kind, name, made):
    lines.append(f"{kind} {name} {made.width} {made.height} {zlib.crc32(made.tobytes()):08x}")


for name, resampling in FILTERS.items():
    for size in [(23, 17), (46, 34), (11, 17), (23, 5), (7, 9), (64, 31)]:
        add("resize", name, picture.resize(size, resampling))
    add("grey", name, picture.resize((12, 10), resampling).convert("L"))
for name in ("bilinear", "bicubic"):
    # The shorter side to 20, then the middle 15 by 16.
    scaled = picture.resize((int(20 * W / H), 20), FILTERS[name])
    left, top = round((scaled.width - 15) / 2), round((scaled.height - 16) / 2)
    add("crop", name, scaled.crop((left, top, left + 15, top + 16)))
(OUT / "pictures.txt").write_text("\n".join(lines) + "\n")
