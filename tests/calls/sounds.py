"""Small sound files of every kind that is taken."""

from pathlib import Path

from calls.demo import sound

FOLDER = Path(__file__).parent.parent / "callcenter_site" / "sounds"
WAV = sound.wav(seconds=0.5, seed=1)
OTHER_WAV = sound.wav(seconds=0.6, seed=2)


def read(name: str) -> bytes:
    return (FOLDER / name).read_bytes()
