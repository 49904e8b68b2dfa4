"""Which addresses an inbound pop-up may open.

The page opens in the agent's browser beside a ringing call, with what the caller brought in its address. So it goes over
HTTPS and to a host written out by the administrator: nothing a caller says chooses where the agent ends up.
"""

import ipaddress
import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from configuration.placeholders import check_placeholders

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.ASCII)


def check_address(template: str) -> None:
    """Raises `ValidationError` with what is wrong with the address of a pop-up."""
    if re.search(r"[\s\\\x00-\x1f\x7f]", template):
        raise ValidationError(_("An address holds no spaces, line breaks or backslashes."))
    scheme, slashes, rest = template.partition("://")
    if not slashes or "{" in scheme or scheme.lower() != "https":
        raise ValidationError(_("The address must begin with https://."), code="not_https")
    place = re.match(r"[^/?#]*", rest)
    authority = place.group() if place else ""
    if "{" in authority or "}" in authority:
        raise ValidationError(
            _(
                "The host must be written out: placeholders may only stand after it, as in https://crm.example.com/?n={caller_number}."
            ),
            code="placeholder_in_host",
        )
    if "@" in authority:
        raise ValidationError(_("The address must not hold a user name or password."), code="credentials")
    if not _is_host(authority):
        raise ValidationError(_("The address names no valid host, such as crm.example.com."), code="bad_host")
    check_placeholders(rest)


def _is_host(authority: str) -> bool:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::(\d{1,5}))?", authority, re.ASCII)
    if found is None:
        return False
    host, port = found.groups()
    if port is not None and not 1 <= int(port) <= 65535:
        return False
    if host.startswith("["):
        return _is_ip(host[1:-1])
    try:
        # As browsers do: look-alikes of dots, slashes and letters become what they stand for before they are looked at.
        ascii_host = host.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        return False
    if not _is_written_plainly(host, ascii_host):
        return False  # other marks than dots and letters of another width: who reads the address takes it for another host
    labels = ascii_host.split(".")
    if labels[-1].isdigit() or labels[-1].startswith("0x"):
        return _is_ip(ascii_host)  # a browser reads such a host as a number
    return len(ascii_host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def _is_written_plainly(host: str, ascii_host: str) -> bool:
    return host.isascii() or host.lower().removesuffix(".") == ascii_host.encode("ascii").decode("idna")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
