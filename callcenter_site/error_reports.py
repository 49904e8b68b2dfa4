"""Errors told to a Sentry, where SENTRY_DSN is set: their kind and where they came up, and nothing of anybody.

An error's words may quote a name or a number, so they stay here, in the log, under the same request id. What is sent is
made from a list of what may go, not from all there is less what may not: a new field of the library stays as well.
"""

import logging
from typing import Any

import sentry_sdk
import structlog
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.logging import LoggingIntegration

from callcenter_site.logs import scrub

KEPT = ("event_id", "timestamp", "platform", "level", "logger", "release", "environment", "server_name", "sdk", "modules")
OF_A_FRAME = ("filename", "abs_path", "function", "module", "lineno", "pre_context", "context_line", "post_context", "in_app")
OF_THE_LINE = ("request_id", "task_id", "user_id")


def start(dsn: str, *, environment: str, **options: Any) -> None:
    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        traces_sample_rate=0,
        auto_session_tracking=False,
        default_integrations=False,
        integrations=[
            DjangoIntegration(),
            CeleryIntegration(),
            DedupeIntegration(),
            LoggingIntegration(level=None, event_level=logging.ERROR),
        ],
        before_send=only_what_may_go,
        **options,
    )


def only_what_may_go(event: Any, hint: dict[str, Any]) -> Any:
    told = {key: event[key] for key in KEPT if key in event}
    if (record := hint.get("log_record")) is not None:
        words = record.msg.get("event") if isinstance(record.msg, dict) else record.msg
        told["logentry"] = {"message": scrub(str(words))}  # as it stands in the code, without what is put into it
    if found := event.get("exception", {}).get("values"):
        told["exception"] = {"values": [_error(one) for one in found]}
    route = event.get("transaction")
    if route and event.get("transaction_info", {}).get("source") != "url":
        told["transaction"] = route
    bound = structlog.contextvars.get_contextvars()
    told["tags"] = {key: str(bound[key]) for key in OF_THE_LINE if bound.get(key)}
    return told


def _error(found: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: found[key] for key in ("type", "module", "mechanism") if key in found}
    kept.get("mechanism", {}).pop("data", None)
    frames = (found.get("stacktrace") or {}).get("frames", [])
    kept["stacktrace"] = {"frames": [{key: frame[key] for key in OF_A_FRAME if key in frame} for frame in frames]}
    return kept
