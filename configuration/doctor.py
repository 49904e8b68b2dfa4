"""What `manage.py doctor` asks about keys."""

from callcenter_site.doctor.findings import Examined, examines
from configuration.encryption import newest_key_id
from configuration.key_rotation import RotationRefused, check_keys, count_keys


@examines("keys", otherwise="Run `manage.py rotate_keys --check`: it says which key is missing.")
def check_encryption_keys(examined: Examined) -> None:
    try:
        check_keys()
    except RotationRefused:
        examined.fail(
            "ENCRYPTION_KEYS",
            "Stored keys do not open with it: names, emails and sign-ins are out of reach.",
            "Put back the keys this installation began with, under the same ids, the newest last; "
            "`manage.py rotate_keys --check` names them.",
        )
        return
    held = count_keys()
    older = sum(held.values()) - held[newest_key_id()]
    examined.within(
        "ENCRYPTION_KEYS",
        f"All {sum(held.values())} stored keys open" + (f"; {older} hang on an older one." if older else "."),
        is_ok=not older,
        mend="Run `manage.py rotate_keys`; then the older one may go.",
        is_grave=False,
    )
