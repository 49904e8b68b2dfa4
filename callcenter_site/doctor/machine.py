"""The machine this is run on: room, rights, clock."""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from django.conf import settings

from callcenter_site.doctor.findings import Examined, examines

GIGABYTE = 1024**3
SHARE_FREE = 0.1
INODES_FREE = 0.05


@examines("machine", otherwise="Look at VAR_DIR: does it exist, and may the portal's user write there?")
def check_disk(examined: Examined) -> None:
    room = shutil.disk_usage(settings.VAR_DIR)
    said = f"{room.free / GIGABYTE:.1f} of {room.total / GIGABYTE:.1f} GB are free under {settings.VAR_DIR}."
    mend = "Make room or a larger disk; `du -xh --max-depth=2` says what is large. Below DISK_FREE_MB events are answered 503."
    if room.free < settings.DISK_FREE_BYTES:
        examined.fail("disk", said, mend)
    else:
        # A large disk is not nearly full with a tenth of it left.
        is_ok = room.free >= min(room.total * SHARE_FREE, 10 * GIGABYTE)
        examined.within("disk", said, is_ok=is_ok, mend=mend, is_grave=False)
    count = os.statvfs(settings.VAR_DIR)
    if count.f_files:
        left = count.f_favail / count.f_files
        examined.within(
            "files on the disk", f"{left:.0%} of its files are free.", is_ok=left >= INODES_FREE, mend=mend, is_grave=False
        )


@examines("machine", otherwise="Give VAR_DIR to the portal's user: chown -R portal:portal, and run this as that user.")
def check_folder(examined: Examined) -> None:
    with tempfile.TemporaryFile(dir=settings.VAR_DIR) as file:
        file.write(b"doctor")
    examined.ok("VAR_DIR", f"{settings.VAR_DIR} can be written.")
    secrets: list[Path] = sorted((settings.VAR_DIR / "secrets").glob("*"))
    open_ones = [path.name for path in secrets if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)]
    if open_ones:
        examined.fail(
            "secrets",
            f"{', '.join(open_ones)} can be read by others on this machine.",
            f"chmod 600 {settings.VAR_DIR}/secrets/*",
        )


@examines("machine", otherwise="See that a time service runs: chrony or systemd-timesyncd.")
def check_clock(examined: Examined) -> None:
    """How far it is from the database's, its own part says."""
    command = shutil.which("timedatectl")
    if not command:
        examined.not_in_use("clock", "timedatectl is not here, so nobody knows whether a time service keeps the clock.")
        return
    done = subprocess.run(  # noqa: S603  (nothing of it comes from outside)
        [command, "show", "--property=NTPSynchronized", "--value"], capture_output=True, text=True, check=False, timeout=5
    )
    answer = done.stdout.strip()
    if answer not in ("yes", "no"):
        examined.not_in_use("clock", "systemd does not say whether a time service keeps the clock.")
        return
    examined.within(
        "clock",
        "A time service keeps the clock." if answer == "yes" else "No time service keeps the clock.",
        is_ok=answer == "yes",
        mend="apt install chrony. Signed links, second factors and the purge go by the clock.",
        is_grave=False,
    )
