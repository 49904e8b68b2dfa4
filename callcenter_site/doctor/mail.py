"""The mail server: can the portal sign in there. Nothing is sent."""

from django.conf import settings
from django.core.mail import get_connection

from callcenter_site.doctor.findings import Examined, examines


@examines(
    "mail",
    otherwise="See that address, user and password in EMAIL_URL are right, and that the server is reached on that port. "
    "`manage.py sendtestemail you@example.com` tries it to the end.",
)
def check_mail(examined: Examined) -> None:
    if not settings.MAIL_IS_SET:
        examined.not_in_use("EMAIL_URL", "Mails become files; administrators hand invitations over.")
        return
    connection = get_connection()
    connection.open()
    connection.close()
    has_tls = settings.EMAIL_USE_TLS or settings.EMAIL_USE_SSL  # type: ignore[misc]
    examined.within(
        "answers",
        "It takes the portal's sign-in." if settings.EMAIL_HOST_USER else "It answers.",
        is_ok=True,
        mend="",
    )
    examined.within(
        "encryption",
        "Mails go there encrypted." if has_tls else "Mails go there in the open.",
        is_ok=has_tls or settings.EMAIL_HOST in ("127.0.0.1", "localhost", "::1"),
        mend="Use smtps:// or smtp+tls:// in EMAIL_URL: invitations let people in.",
        is_grave=False,
    )
