"""Every address of the portal, as every role and with an API key: nothing of the other account, foreign like missing.

Pages of the admin's registry are walked in `test_admin`. Every other route needs a line in ROUTES; one without fails.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.contrib import admin
from django.core import signing
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from agents.models import Agent, DeviceCheck, SkillGroup, SkillGroupMember, StatusChange
from analytics.models import AlertCrossing, AlertRule, Display, ReportRun, SavedReport
from calls.models import Call, ExportRun, Recording, Voicemail
from configuration.models import (
    ApiKey,
    BlockedNumber,
    BreakReason,
    Disposition,
    IvrPrompt,
    Keyword,
    QuickReply,
    QuickReplyGroup,
    Role,
    ScreenPop,
    ServiceNumber,
)
from retention.models import AccessRequest, DeletionRequest, LegalHold
from tests.isolation.test_admin import as_person, messages_of, text_of
from tests.isolation.worlds import MISSING_ID, World, without_ids

PUBLIC, PAGE = "public", "page"
METHODS = ("get", "post", "put", "patch", "delete")
ASKED = {
    "skill_group": SkillGroup,
    "skill_group_id": SkillGroup,
    "group": SkillGroup,
    "agent": "agent",
    "agent_id": "agent",
    "call": Call,
    "account": "account",
    "account_id": "account",
}
"""Questions an address may take; all are put to every page, with an id of theirs and an id of nobody's."""


@dataclass(frozen=True)
class Row:
    """A route with the id of a row in its address."""

    model: Any
    parameter: str = "pk"
    rest: dict[str, Any] = field(default_factory=dict)
    method: str = "get"
    """By which the rightful administrator is let through."""


ROUTES: dict[str, Any] = {
    "home": PUBLIC,
    "set_language": PUBLIC,
    "healthz": PUBLIC,
    "readyz": PUBLIC,
    "metrics": PUBLIC,
    "schema": PUBLIC,
    "api-docs": PUBLIC,
    "admin:login": PUBLIC,
    "admin:logout": PUBLIC,
    "admin:jsi18n": PUBLIC,
    "admin:index": PAGE,
    "admin:search": PAGE,
    "admin:password_change": PAGE,
    "admin:autocomplete": "walked in test_admin",
    "admin:app_list": [{"app_label": app} for app in sorted({model._meta.app_label for model in admin.site._registry})],
    "retention:promise": PUBLIC,
    "security:page": PUBLIC,
    "security:contact": PUBLIC,
    "retention:signing-key": PUBLIC,
    "retention:privacy": PAGE,
    "analytics:home": PAGE,
    "analytics:dashboard": PAGE,
    "analytics:dashboard-parts": PAGE,
    "analytics:agents": PAGE,
    "analytics:agent": Row(Agent),
    "analytics:quality": PAGE,
    "analytics:reports": PAGE,
    "analytics:report-file": PAGE,
    "analytics:view-save": "test_saved_views: what is kept belongs to whoever keeps it",
    "analytics:view-open": "test_saved_views: views that are not shared and those of other accounts are missing",
    "analytics:view-change": "test_saved_views: views that are not shared and those of other accounts are missing",
    "analytics:view-delete": "test_saved_views: views that are not shared and those of other accounts are missing",
    "analytics:report-save": PAGE,
    "analytics:report-start": PAGE,
    "analytics:report-run-file": "test_report_runs: a link is for one person and a minute",
    "analytics:now": PAGE,
    "analytics:now-figures": PAGE,
    "analytics:staffing": PAGE,
    "analytics:forecast": PAGE,
    "agents:desk": PAGE,
    "agents:set-status": PAGE,
    "agents:state": PAGE,
    "agents:heartbeat": PAGE,
    "agents:break-after-call": PAGE,
    "agents:end-wrap-up": PAGE,
    "agents:extend-wrap-up": PAGE,
    "agents:device-check": PAGE,
    "agents:probe": PAGE,
    "agents:stream": PAGE,
    "calls:desk-records": PAGE,
    "calls:desk-calls": PAGE,
    "calls:desk-call": "test_screen_pop: a call that is not one's own answers like one that does not exist",
    "calls:remark": [Row(Call, method="post")],
    "agents:sign-out": PUBLIC,
    "sign_in:overview": PAGE,
    "sign_in:code": PAGE,
    "sign_in:set-up": PAGE,
    "sign_in:recovery-codes": PAGE,
    "sign_in:turn-off": PAGE,
    "sign_in:change-email": PAGE,
    "sign_in:change-password": PAGE,
    "sign_in:forgotten": PAGE,
    "sign_in:link-sent": PAGE,
    "sign_in:set-password": PAGE,
    "calls:listen": [Row(Recording, rest={"kind": "recording"}), Row(Voicemail, rest={"kind": "voicemail"})],
    "calls:waveform": "test_recordings_listening: another account's sound is not read for a waveform",
    "calls:audio": "test_a_link_to_audio_made_for_somebody_else_opens_nothing",
    "calls:sound": "test_sound_api: a key fetches a recording by a link that dies",
    "api:recording-list": PAGE,
    "api:recording-detail": [Row(Recording)],
    "api:recording-link": [Row(Recording)],
    "api:voicemail-list": PAGE,
    "api:voicemail-detail": [Row(Voicemail)],
    "api:voicemail-link": [Row(Voicemail)],
    "hooks:events": "test_webhooks: a secret of another account's address signs nothing",
    "hooks:freeswitch": "test_hooks: a key of another account opens nothing",
    "hooks:tccc": "test_hooks: a key of another account opens nothing",
    "api:events": PAGE,
    "api:events-slash": PAGE,
    "api:live": PAGE,
    "api:metrics": PAGE,
    "api:report": PAGE,
    "api:report-slash": PAGE,
    "api:summary": PAGE,
    "api:forecast": PAGE,
    "calls:export-file": "test_exporting: a link is for one person and a minute",
    "retention:access-file": "test_access_request: a link is for one person and a minute",
    "api:deletion-request-list": PAGE,
    "api:deletion-request-detail": [Row(DeletionRequest)],
    "api:deletion-request-certificate": "test_request_pages: another account's request answers like one that does not exist",
    "api:legal-hold-list": PAGE,
    "api:legal-hold-detail": [Row(LegalHold)],
    "api:legal-hold-release": [Row(LegalHold, method="post")],
    "api:access-request-list": PAGE,
    "api:access-request-detail": [Row(AccessRequest)],
    "api:export-list": PAGE,
    "api:export-detail": [Row(ExportRun)],
    "api:call-list": PAGE,
    "api:call-find": PAGE,
    "api:call-screen": PAGE,
    "api:call-screen-slash": PAGE,
    "api:call-detail": [Row(Call)],
    "api:agent-list": PAGE,
    "api:agent-find": PAGE,
    "api:agent-detail": [Row(Agent)],
    "api:agent-deactivate": [Row(Agent, method="post")],
    "api:agent-reactivate": [Row(Agent, method="post")],
    "api:agent-invite": [Row(Agent, method="post")],
    "api:agent-force-offline": [Row(Agent, method="post")],
    "api:agent-restore-online": [Row(Agent, method="post")],
    "api:agent-status": [Row(Agent)],
    "api:agent-statuses": PAGE,
    "api:status-change-list": PAGE,
    "api:status-change-detail": [Row(StatusChange)],
    "api:skill-group-list": PAGE,
    "api:skill-group-detail": [Row(SkillGroup)],
    "api:membership-list": PAGE,
    "api:membership-detail": [Row(SkillGroupMember)],
    "api:device-check-list": PAGE,
    "api:device-check-detail": [Row(DeviceCheck)],
    "api:service-number-list": PAGE,
    "api:service-number-detail": [Row(ServiceNumber)],
    "api:ivr-prompt-list": PAGE,
    "api:ivr-prompt-detail": [Row(IvrPrompt)],
    "api:ivr-prompt-audio": [Row(IvrPrompt)],
    "configuration:prompt-sound": "test_api: a link opens one file, and for a minute",
    "api:blocked-number-list": PAGE,
    "api:blocked-number-find": PAGE,
    "api:blocked-number-detail": [Row(BlockedNumber)],
    "api:blocked-number-bulk": PAGE,
    "api:blacklist-check": PAGE,
    "api:keyword-list": PAGE,
    "api:keyword-detail": [Row(Keyword)],
    "api:keyword-match": PAGE,
    "api:quick-reply-group-list": PAGE,
    "api:quick-reply-group-detail": [Row(QuickReplyGroup)],
    "api:quick-reply-list": PAGE,
    "api:quick-reply-detail": [Row(QuickReply)],
    "api:screen-pop-list": PAGE,
    "api:screen-pop-detail": [Row(ScreenPop)],
    "api:screen-pop-preview": [Row(ScreenPop)],
    "api:break-reason-list": PAGE,
    "api:break-reason-detail": [Row(BreakReason)],
    "api:disposition-list": PAGE,
    "api:disposition-detail": [Row(Disposition)],
    "api:role-list": PAGE,
    "api:role-detail": [Row(Role)],
    "api:rights": PAGE,
    "api:account": PAGE,
    "api:saved-report-list": PAGE,
    "api:saved-report-detail": [Row(SavedReport)],
    "api:saved-report-run": "test_report_api: another account's report answers like one that does not exist",
    "api:report-run-list": PAGE,
    "api:report-run-detail": [Row(ReportRun)],
    "api:alert-list": PAGE,
    "api:alert-detail": [Row(AlertRule)],
    "api:alert-crossing-list": PAGE,
    "api:alert-crossing-detail": [Row(AlertCrossing)],
    "api:wallboard-list": PAGE,
    "api:wallboard-detail": [Row(Display)],
    "api:wallboard-link": [Row(Display, method="post")],
    "wallboard:wall": PAGE,
    "wallboard:figures": PAGE,
    "wallboard:display": [Row(Display)],
    "wallboard:display-figures": [Row(Display)],
    "wallboard:by-link": PUBLIC,
    "wallboard:figures-by-link": "test_wallboard: a link opens its own display only",
    "api:api-key-list": PAGE,
    "api:api-key-detail": [Row(ApiKey)],
    "api:api-key-revoke": [Row(ApiKey, method="post")],
}


def walk(resolver: Any, space: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield space + (pattern.name or f"({pattern.pattern})")
        else:
            yield from walk(pattern, space + (f"{pattern.namespace}:" if pattern.namespace else ""))


def of_the_registry() -> set[str]:
    names = {f"admin:{url.name or f'({url.pattern})'}" for page in admin.site._registry.values() for url in page.get_urls()}
    return names | {"admin:((?P<url>.*)$)"}  # the admin's own "not found"


def addresses(name: str) -> list[str]:
    """The route's addresses that name no row."""
    told = ROUTES[name]
    if told in (PUBLIC, PAGE):
        return [reverse(name)]
    return [reverse(name, kwargs=one) for one in told if isinstance(one, dict)] if isinstance(told, list) else []


ROWS = [(name, row) for name, told in ROUTES.items() if isinstance(told, list) for row in told if isinstance(row, Row)]
EVERYBODY = [*sorted(Role.BUILT_IN), "operator", "api key", "nobody"]


def client_of(who: str, ours: World, operator: Any) -> tuple[Client, dict[str, str]]:
    if who == "api key":
        return Client(), {"HTTP_AUTHORIZATION": f"Api-Key {ours.key}"}
    if who == "nobody":
        return Client(), {}
    return as_person(operator if who == "operator" else ours.people[who]), {}


def test_every_route_is_told_of_here():
    told, there = set(ROUTES), set(walk(get_resolver())) - of_the_registry()
    assert there - told == set(), "give these routes a line in ROUTES, and a test of their own where they carry more than an id"
    assert told - there <= {"admin:index"}, "these routes are gone"


@pytest.mark.parametrize("who", EVERYBODY)
def test_no_page_shows_anything_of_the_other_account(ours, theirs, operator, who):
    before = theirs.everything()
    client, extra = client_of(who, ours, operator)
    for name, told in ROUTES.items():
        for address in addresses(name):
            for method in METHODS if told == PAGE else ("get",):
                response = getattr(client, method)(address, **extra)  # where a redirect leads is a page of its own
                assert response.status_code < 500 or name == "readyz", address
                shown = f"{messages_of(client, response)} {response.headers.get('Location', '')}".lower()
                shown += response.content.decode().lower() if not response.streaming else ""
                assert theirs.canary not in shown, f"{method} {address}"
                assert who != "operator" or ours.canary not in shown, f"{method} {address}"
            if who == "nobody" or told != PAGE:
                continue
            for question, model in ASKED.items():
                row = (
                    theirs.people[Role.Kind.AGENT]
                    if model == "agent"
                    else theirs.account
                    if model == "account"
                    else theirs.rows[model]
                )
                ids = (row.pk, MISSING_ID)
                answers = [answer_of(client, "get", address, ids, {question: one}, **extra) for one in ids]
                assert answers[0] == answers[1], f"{address}?{question}="
                assert theirs.canary not in answers[0].lower(), f"{address}?{question}="
    assert theirs.everything() == before


@pytest.mark.parametrize("who", EVERYBODY)
def test_a_row_of_the_other_account_answers_like_one_that_does_not_exist(ours, theirs, operator, who):
    before = theirs.everything()
    client, extra = client_of(who, ours, operator)
    for name, row in ROWS:
        ids = (theirs.rows[row.model].pk, MISSING_ID)
        for method in METHODS:
            urls = [reverse(name, kwargs={row.parameter: one, **row.rest}) for one in ids]
            answers = [answer_of(client, method, url, ids, **extra) for url in urls]
            assert answers[0] == answers[1], f"{method} {urls[0]}"
            assert theirs.canary not in answers[0].lower(), f"{method} {urls[0]}"
    assert theirs.everything() == before


def answer_of(client: Client, method: str, url: str, ids: tuple[Any, ...], data: Any = None, **extra: str) -> str:
    response = getattr(client, method)(url, data, **extra) if data else getattr(client, method)(url, **extra)
    assert response.status_code < 500, f"{method} {url}"
    return without_ids(str(messages_of(client, response)), *ids) + text_of(response, *ids)


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda one: one if isinstance(one, str) else one.model._meta.label)
def test_the_rightful_administrator_is_let_through(theirs, name, row):
    """The positive control: an answer other than that to a missing row."""
    client = as_person(theirs.people[Role.Kind.ADMINISTRATOR])
    found, missing = (
        getattr(client, row.method)(reverse(name, kwargs={row.parameter: one, **row.rest}))
        for one in (theirs.rows[row.model].pk, MISSING_ID)
    )
    assert (found.status_code, found.content) != (missing.status_code, missing.content)
    assert missing.status_code == 404


def test_the_key_of_the_rightful_account_reads_the_record(theirs):
    row = theirs.rows[Call]
    answer = Client().get(reverse("api:call-detail", kwargs={"pk": row.pk}), HTTP_AUTHORIZATION=f"Api-Key {theirs.key}")
    assert answer.status_code == 200
    assert theirs.canary in answer.content.decode()


def test_a_link_to_audio_made_for_somebody_else_opens_nothing(ours, theirs):
    listener, row = theirs.people[Role.Kind.ADMINISTRATOR], theirs.rows[Recording]
    from calls.views import _SALT

    for signed_for in (listener.pk, ours.people[Role.Kind.ADMINISTRATOR].pk):
        token = signing.TimestampSigner(salt=_SALT).sign_object(["recording", row.pk, signed_for])
        answer = as_person(ours.people[Role.Kind.ADMINISTRATOR]).get(reverse("calls:audio", args=[token]))
        assert answer.status_code in {403, 404}
