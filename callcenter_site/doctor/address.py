"""The portal as people reach it: its name, its certificate, what stands in front of it."""

import datetime as dt
import socket
import ssl
from urllib.parse import urljoin, urlsplit

import urllib3
from django.conf import settings
from django.templatetags.static import static
from django.utils import timezone

from callcenter_site.doctor.findings import Examined, examines

TIMEOUT = urllib3.Timeout(connect=3, read=5)
DAYS_LEFT = 14
FROM_ELSEWHERE = "If it answers from elsewhere, this machine only cannot reach itself by its public name, which is no harm."


@examines("address", otherwise=f"See that nginx and the web processes run, and that PUBLIC_URL is right. {FROM_ELSEWHERE}")
def check_address(examined: Examined) -> None:
    if not settings.PUBLIC_URL_IS_SET:
        examined.not_in_use("PUBLIC_URL", "Links lead to where `manage.py serve` listens.")
        return
    address = settings.PUBLIC_URL
    with urllib3.PoolManager(timeout=TIMEOUT, retries=False) as pool:
        answer = pool.request("GET", f"{address}/healthz")
        page = pool.request("GET", f"{address}/admin/login/", redirect=False)
    examined.within(
        "answers",
        f"{address}/healthz answers {answer.status}.",
        is_ok=answer.status == 200,
        mend="400: put the name into ALLOWED_HOSTS. 502: start the web processes. Else see what stands in front of the portal.",
    )
    examined.within(
        "sign-in page",
        f"It answers {page.status}.",
        is_ok=page.status == 200,
        mend="301 without end: the proxy must set X-Forwarded-Proto. 400: it must pass on Host. 500: see the portal's log.",
    )
    _check_static_file(examined)
    if not address.startswith("https://"):
        return
    stays = "strict-transport-security" in page.headers
    examined.within(
        "HSTS",
        f"Browsers are {'' if stays else 'not '}told to stay with https.",
        is_ok=stays,
        mend="The proxy must set X-Forwarded-Proto: https, never pass it through, and not take headers out of answers.",
    )
    _check_certificate(examined)


def _check_static_file(examined: Examined) -> None:
    """Pages without their styles and scripts are of no use, and a web server may be asked for them that may not read them."""
    with urllib3.PoolManager(timeout=TIMEOUT, retries=False) as pool:
        answer = pool.request("GET", urljoin(f"{settings.PUBLIC_URL}/", static("callcenter_site/portal.css")))
    examined.within(
        "styles and scripts",
        f"They answer {answer.status}.",
        is_ok=answer.status == 200,
        mend="403: run `systemctl start portal-migrate`, which leaves them readable for the web server. 404: run `manage.py "
        "collectstatic --noinput`, and see that the folder the web server serves is VAR_DIR/static.",
    )


def _check_certificate(examined: Examined) -> None:
    parts = urlsplit(settings.PUBLIC_URL)
    host, port = parts.hostname or "", parts.port or 443
    with socket.create_connection((host, port), timeout=3) as raw:  # noqa: SIM117  (the second needs the first)
        with ssl.create_default_context().wrap_socket(raw, server_hostname=host) as connection:
            certificate = connection.getpeercert() or {}
            version = connection.version()
    ends = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), dt.UTC)
    left = (ends - timezone.now()).days
    examined.within(
        "certificate",
        f"It is good for {left} more days ({version}).",
        is_ok=left >= DAYS_LEFT,
        mend="`certbot renew` and reload nginx; `systemctl list-timers` shows whether certbot renews by itself.",
        is_grave=left < 3,
    )
