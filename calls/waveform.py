"""How loud a recording is along its length: a byte for each slice, drawn under the player.

Of WAV files, which need no decoder, it is worked out as they are stored. Of long ones, parts of each slice are looked at, so
that it takes the same time whatever the length. All others are decoded where a fault in a decoder harms nobody else: in the
browser of whoever listens.
"""

import struct
import sys
from array import array
from collections.abc import Callable
from typing import IO, Any

from callcenter_site.sound_files import WavShape

N_SLICES = 400
MOST_A_SLICE = 8192
"""Bytes of a slice that are looked at."""
MOST_DRAWN_BYTES = 20 * 1024 * 1024
MOST_DRAWN_SECONDS = 3600
"""Of a file that a browser reads for its waveform alone."""
PCM, FLOAT, ALAW, ULAW = 1, 3, 6, 7


def peaks_of_wav(file: IO[bytes], shape: WavShape) -> bytes | None:
    """The loudest of each slice, 0 to 255; None for an encoding that needs a decoder."""
    loudest = _reader(shape)
    if loudest is None or not shape.block or shape.n_bytes < shape.block:
        return None
    n_blocks = shape.n_bytes // shape.block
    n_slices = min(N_SLICES, n_blocks)
    peaks = bytearray()
    for number in range(n_slices):
        first, last = n_blocks * number // n_slices, n_blocks * (number + 1) // n_slices
        length = (last - first) * shape.block
        looks = [first] if length <= MOST_A_SLICE else [first + (last - first) * part // 4 for part in range(4)]
        size = min(length, MOST_A_SLICE // len(looks)) // shape.block * shape.block or shape.block
        peak = 0.0
        for block in looks:
            file.seek(shape.start + block * shape.block)
            peak = max(peak, loudest(file.read(size)))
        peaks.append(min(255, round(peak * 255)))
    return bytes(peaks)


def browser_draws(audio: Any) -> bool:
    """Whether the page may read this file to draw its waveform."""
    is_small = 0 < (audio.n_bytes or 0) <= MOST_DRAWN_BYTES and (audio.duration_seconds or 0) <= MOST_DRAWN_SECONDS
    return bool(audio.peaks is None and is_small)


def _reader(shape: WavShape) -> Callable[[bytes], float] | None:
    return {
        (PCM, 8): _of_8_bits,
        (PCM, 16): _of_16_bits,
        (PCM, 24): _of_24_bits,
        (PCM, 32): _of_32_bits,
        (FLOAT, 32): _of_floats,
        (ALAW, 8): lambda part: _of_table(part, _A_LAW),
        (ULAW, 8): lambda part: _of_table(part, _U_LAW),
    }.get((shape.encoding, shape.bits))


def _of_8_bits(part: bytes) -> float:
    return max(max(part) - 128, 128 - min(part)) / 128 if part else 0


def _of_16_bits(part: bytes) -> float:
    return _of_integers(array("h", part[: len(part) // 2 * 2]), 1 << 15)


def _of_32_bits(part: bytes) -> float:
    return _of_integers(array("i", part[: len(part) // 4 * 4]), 1 << 31)


def _of_24_bits(part: bytes) -> float:
    return _of_8_bits(bytes((high + 128) % 256 for high in part[2::3]))  # the highest of three bytes is close enough


def _of_integers(samples: "array[int]", full: int) -> float:
    if sys.byteorder == "big":
        samples.byteswap()
    high, low = (max(samples), min(samples)) if samples else (0, 0)
    return max(high, -low) / full


def _of_floats(part: bytes) -> float:
    samples = struct.unpack(f"<{len(part) // 4}f", part[: len(part) // 4 * 4])
    loud = [abs(sample) for sample in samples if sample == sample]  # noqa: PLR0124  (not a number is not equal to itself)
    return min(1.0, max(loud, default=0))


def _of_table(part: bytes, table: list[float]) -> float:
    return max((table[code] for code in set(part)), default=0)


def _a_law(code: int) -> float:
    code ^= 0x55
    exponent, mantissa = (code >> 4) & 7, code & 15
    size = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return size / 32768


def _u_law(code: int) -> float:
    code = ~code & 0xFF
    exponent, mantissa = (code >> 4) & 7, code & 15
    return ((((mantissa << 3) + 0x84) << exponent) - 0x84) / 32768


_A_LAW = [_a_law(code) for code in range(256)]
_U_LAW = [_u_law(code) for code in range(256)]
