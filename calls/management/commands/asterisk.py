"""Keeps a connection to an Asterisk's manager interface and puts what it says into the inbox."""

import asyncio
import fcntl
import signal
import ssl
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from callcenter_site import env
from calls.adapters.asterisk_ami import LoginRefused
from calls.adapters.asterisk_command import add_site_arguments, open_account, site_from
from calls.adapters.asterisk_live import Listener, Server, feed_of, notes_path

PORT, TLS_PORT = 5038, 5039


class Command(BaseCommand):
    help = "Listens to an Asterisk (AMI) until it is stopped. The secret comes from ASTERISK_SECRET. See docs/asterisk.md."

    def add_arguments(self, parser: CommandParser) -> None:
        add_site_arguments(parser)
        parser.add_argument("--host", help="where the server is (default ASTERISK_HOST, else 127.0.0.1)")
        parser.add_argument("--port", type=int, help=f"default ASTERISK_PORT, else {PORT}, with TLS {TLS_PORT}")
        parser.add_argument("--user", help="manager user (default ASTERISK_USER, else portal)")
        parser.add_argument("--tls", action="store_true", help="encrypted (also ASTERISK_TLS); certificates are checked")
        parser.add_argument("--tls-ca", metavar="FILE", help="certificate to trust, where the server has one of its own")
        parser.add_argument("--status", action="store_true", help="say how the connection is doing, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        account = open_account(options["account"])
        site = site_from(options, account)
        if options["status"]:
            self._say_status(feed_of(account=account, source=site.source, at=timezone.now()))
            return
        notes = notes_path(account, site.source)
        notes.parent.mkdir(parents=True, exist_ok=True)
        with notes.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CommandError(f"The source {site.source} is listened to already.") from error
            listener = Listener(
                account=account,
                site=site,
                server=self._server(options),
                notes=notes,
                say=self.stdout.write,
            )
            try:
                asyncio.run(self._run(listener))
            except LoginRefused as error:
                raise CommandError("The server refuses the login: check ASTERISK_USER and ASTERISK_SECRET.") from error

    def _server(self, options: dict[str, Any]) -> Server:
        secret = env.text("ASTERISK_SECRET")
        if not secret:
            raise CommandError("ASTERISK_SECRET is not set (or ASTERISK_SECRET_FILE, the path of a file with it).")
        has_tls = options["tls"] or bool(options["tls_ca"]) or env.boolean("ASTERISK_TLS", False)
        try:
            tls = ssl.create_default_context(cafile=options["tls_ca"]) if has_tls else None
        except OSError as error:
            raise CommandError(f"--tls-ca: {options['tls_ca']}: {error.strerror or 'no certificate'}.") from error
        return Server(
            host=options["host"] or env.text("ASTERISK_HOST", "127.0.0.1"),
            port=options["port"] or env.integer("ASTERISK_PORT", TLS_PORT if has_tls else PORT, minimum=1),
            user=options["user"] or env.text("ASTERISK_USER", "portal"),
            secret=secret,
            tls=tls,
        )

    async def _run(self, listener: Listener) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await listener.run(stopping)

    def _say_status(self, feed: dict[str, Any]) -> None:
        self.stdout.write(f"state      {feed['state']}")
        for name in ("problem", "connected_since", "heard_at", "n_calls", "n_events", "n_refused"):
            if feed.get(name):
                self.stdout.write(f"{name:<10} {feed[name]}")
        for gap in feed["gaps"]:
            since = gap["since"] or "before the start"
            self.stdout.write(f"gap        {since} to {gap['until']}, {gap['n_lost']} calls lost")
