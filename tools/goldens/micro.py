"""Writes crates/input/media/tests/goldens/micro.txt: features that TensorFlow Lite Micro's front end
gives for a made-up sound, a line for each frame of 40 numbers.

Needs the package pymicro-features (2.0.2). Run from the repository root:

    python tools/goldens/micro.py
"""

from pathlib import Path
from struct import pack

from pymicro_features import MicroFrontend

OUT = Path("crates/input/media/tests/goldens/micro.txt")


def truncated(a, b):
    return abs(a) // b * (1 if a >= 0 else -1)


def sound():
    seed = 1
    for i in range(16000):
        seed = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
        noise = (seed >> 16) - 32768
        loud = [60, 3000, 0, 30000][i // 4000]
        tone = abs((i * i // 40) % 400 - 200) * 2 - 200
        yield max(-32768, min(32767, truncated(tone * loud, 200) + truncated(noise * loud, 300000)))


bytes_ = b"".join(pack("<h", x) for x in sound())
front, at, lines = MicroFrontend(), 0, []
while at + 320 <= len(bytes_):
    result = front.process_samples(bytes_[at : at + 320])
    at += result.samples_read * 2
    if result.features:
        # The package gives numbers of 1/25.6.
        lines.append(" ".join(str(round(x / 0.0390625)) for x in result.features))
OUT.write_text("\n".join(lines) + "\n")
