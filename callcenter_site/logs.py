"""How the portal logs: one event per line with the id of its request, ids instead of people.

Lines are for people on a terminal and JSON everywhere else. Query strings, addresses of visitors and their browsers
are never logged; of a path only what the portal's own addresses are made of and ids, for anybody may type a name into one,
and some links open something by what stands in them. Whatever looks like an email or a phone number is taken out of texts,
and out of what an error says all that it quotes: a database quotes the value it choked on.
"""

import functools
import re
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django.urls import URLResolver, get_resolver
from django_structlog.middlewares import RequestMiddleware
from structlog.typing import EventDict, WrappedLogger

EMAIL = re.compile(r"[^\s@'\"<>(]+@[^\s@'\"<>)]+\.[^\s@'\"<>),;]+")
# Nine digits and more: shorter runs are ids and figures. UUIDs are matched first, to be left whole.
PHONE = re.compile(r"(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|\+\d{6,15}|(?<![\w.])\d{9,15}(?![\w.])")
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)
# A database quotes as it is what it choked on, an apostrophe within included.
DUPLICATE = re.compile(r"(?<=Duplicate entry )'.*'(?= for key)", re.S)
ID = re.compile(r"\d{1,19}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OF_THE_CODE = (AttributeError, ImportError, ModuleNotFoundError, NameError)
"""Quote names of the program only."""
PERSONAL_KEYS = ("user_agent", "ip", "email")
PROBES = ("/healthz", "/readyz", "/metrics")


def logging_settings(level: str, *, for_people: bool) -> dict[str, Any]:
    """The `LOGGING` setting; structlog is set up on the way, so both kinds of loggers write the same lines."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    render: Any = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if for_people
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    error_without_values,
                    without_personal_data,
                    render,
                ],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            # Django installs handlers of its own here; a line would be written twice.
            "django": {"handlers": [], "propagate": True},
            "django.request": {"level": "CRITICAL"},  # the request's own line below says it, with its id
            "celery": {"level": "WARNING"},
            "celery.app.trace": {"level": "CRITICAL"},  # a failed task has its own line, with its id
            "kombu": {"level": "ERROR"},
            "axes": {"level": "WARNING"},
            "uvicorn": {"level": "WARNING"},
            "uvicorn.access": {"level": "CRITICAL"},
            "botocore": {"level": "WARNING"},
            "boto3": {"level": "WARNING"},
        },
    }


def error_without_values(logger: WrappedLogger, name: str, line: EventDict) -> EventDict:
    """The traceback with each error's kind, and of its words what is not quoted."""
    given = line.pop("exc_info", None)
    error = (
        given
        if isinstance(given, BaseException)
        else given[1]
        if isinstance(given, tuple)
        else sys.exc_info()[1]
        if given
        else None
    )
    if error is not None:
        line["exception"] = told_error(error)
    if isinstance(line.get("error"), str) and line.get("event") == "task_failed":
        line.pop("error")  # the words of the error once more
    return line


def told_error(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error)
    _take_values_out(told)
    return "".join(told.format()).rstrip()


def _take_values_out(told: Any) -> None:
    """In place, along the chain of what led to it. The library has no way to say it otherwise."""
    seen = []
    while told is not None and told not in seen:
        seen.append(told)
        if told.exc_type not in OF_THE_CODE:
            told._str = without_quotes(str(told._str))
        told.__notes__ = None
        for one in getattr(told, "exceptions", None) or ():
            _take_values_out(one)
        told = told.__cause__ or told.__context__


def without_quotes(text: str) -> str:
    return scrub(QUOTED.sub("'…'", DUPLICATE.sub("'…'", text)))


def without_personal_data(logger: WrappedLogger, name: str, line: EventDict) -> EventDict:
    for key in PERSONAL_KEYS:
        line.pop(key, None)
    for key, value in line.items():
        if isinstance(value, BaseException):
            line[key] = without_quotes(f"{type(value).__name__}: {value}")
        elif isinstance(value, str) and key not in ("timestamp", "request_id", "task_id", "child_task_id"):
            line[key] = scrub(value)
    return line


def scrub(text: str) -> str:
    return PHONE.sub(lambda found: found["uuid"] or "[number]", EMAIL.sub("[email]", text))


class RequestLog(RequestMiddleware):
    """One line per request: who (id), what, answer, how long. The answer carries the id as `X-Request-ID`."""

    def prepare(self, request: HttpRequest) -> None:
        request._log_started = time.monotonic()  # type: ignore[attr-defined]
        super().prepare(request)

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        bound = structlog.contextvars.get_contextvars()
        if "request_id" in bound:
            response.headers["X-Request-ID"] = bound["request_id"]
        if request.path in PROBES and response.status_code == 200:
            structlog.contextvars.clear_contextvars()
            return
        structlog.contextvars.bind_contextvars(milliseconds=round((time.monotonic() - request._log_started) * 1000))  # type: ignore[attr-defined]
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        return f"{request.method} {shown_path(request.path)}"


def shown_path(path: str) -> str:
    """What is neither an id nor part of an address of the portal's own stands as a dot in its place."""
    known = _words_of_addresses()
    return "/".join(part if not part or part in known or ID.fullmatch(part) else "…" for part in path.split("/"))


@functools.cache
def _words_of_addresses() -> frozenset[str]:
    return frozenset(_words(get_resolver()))


def _words(resolver: URLResolver) -> Iterator[str]:
    for entry in resolver.url_patterns:
        pattern = re.sub(r"<[^>]*>|\(\?P[^()]*\)|[\^$\\]", "", str(entry.pattern))
        yield from pattern.split("/")
        if isinstance(entry, URLResolver):
            yield from _words(entry)
