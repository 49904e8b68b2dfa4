"""Sound for the demo's recordings: two voices that talk in made-up syllables, as telephone-quality WAV.

Syllables are built once from harmonics of a voice weighted by the formants of vowels; a recording strings some of
them together. Only the standard library is used.
"""

import array
import io
import math
import random
import sys
import wave
from functools import lru_cache

RATE = 8000
_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (530, 1840, 2480), (300, 870, 2240), (570, 840, 2410), (440, 1020, 2240))
_PITCHES = (118.0, 208.0)


def wav(*, seconds: float, seed: int) -> bytes:
    """A mono WAV of that length: a beep, then two people in turn. The same seed sounds the same."""
    chance = random.Random(seed)  # noqa: S311 - sound, no secret
    n_samples = max(1, round(seconds * RATE))
    samples = array.array("h", _beep())
    speaker = chance.randrange(2)
    while len(samples) < n_samples:
        syllables = _syllables(speaker)
        for _ in range(chance.randrange(3, 9)):
            samples.extend(chance.choice(syllables))
            samples.extend(_silence(chance.uniform(0.01, 0.06)))
        samples.extend(_silence(chance.uniform(0.15, 0.4)))
        speaker = 1 - speaker if chance.random() < 0.6 else speaker
    del samples[n_samples:]
    if sys.byteorder == "big":
        samples.byteswap()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return out.getvalue()


def _silence(seconds: float) -> "array.array[int]":
    return array.array("h", bytes(2 * round(seconds * RATE)))


@lru_cache(maxsize=1)
def _beep() -> tuple[int, ...]:
    tone = [round(5000 * math.sin(math.tau * 1400 * n / RATE)) for n in range(RATE // 5)]
    return (*tone, *_silence(0.25))


@lru_cache(maxsize=2)
def _syllables(speaker: int) -> "tuple[array.array[int], ...]":
    chance = random.Random(speaker)  # noqa: S311 - sound, no secret
    return tuple(_syllable(vowel, _PITCHES[speaker], chance) for vowel in _VOWELS for _ in range(3))


def _syllable(vowel: tuple[int, int, int], pitch: float, chance: random.Random) -> "array.array[int]":
    seconds = chance.uniform(0.11, 0.24)
    rise = chance.uniform(-0.12, 0.12)
    n_samples = round(seconds * RATE)
    loudness = [
        (n, sum(math.exp(-(((n * pitch - formant) / (60 + 50 * i)) ** 2)) / (1 + i) for i, formant in enumerate(vowel)) + 0.02)
        for n in range(1, int(RATE / 2 / pitch / 1.15))
    ]
    scale = 9000 / sum(weight for _, weight in loudness)
    samples = array.array("h")
    phase = 0.0
    for n in range(n_samples):
        share = n / n_samples
        phase += math.tau * pitch * (1 + rise * share) / RATE
        envelope = min(1.0, share / 0.15, (1 - share) / 0.3)
        samples.append(round(scale * envelope * sum(weight * math.sin(k * phase) for k, weight in loudness)))
    return samples
