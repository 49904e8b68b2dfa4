"""Recordings and voicemail over the API: sent, listed, fetched by a link, and the inbox kept."""

import datetime as dt
from contextlib import ExitStack
from typing import Any, ClassVar

import django_filters
from django.db import transaction
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import exceptions, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Agent
from callcenter_site.audit import Look, log_look
from callcenter_site.filters import MomentFilter, TruthFilter
from callcenter_site.openapi import also_answers
from callcenter_site.paging import NewestFirst
from callcenter_site.rest import AccountReadViewSet, Conflict, JsonParser, Overloaded
from calls import incoming, spool, uploads, voicemail
from calls.envelope import call_key_of
from calls.models import AudioState, Recording, SoundKind, Voicemail
from calls.sound_serializers import (
    MessageChangeSerializer,
    MessageSerializer,
    SentSoundSerializer,
    SoundLinkSerializer,
    SoundSerializer,
)
from calls.views import LINK_SECONDS, link_for_programs
from configuration.access import HANDLE_VOICEMAIL, LISTEN, SEE_RECORDINGS, SEE_VOICEMAIL, SEND_RECORDING, SEND_VOICEMAIL

_SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_AT = "2026-11-24T01:00:31Z"
_RECORDING: dict[str, Any] = {
    "id": 9120,
    "recorded_at": _AT,
    "duration_seconds": 240.0,
    "state": "stored",
    "content_type": "audio/wav",
    "n_bytes": 3840044,
    "sha256": _SHA256,
    "call": 48211,
    "call_id": "20261124-000417",
    "error": "",
}
_MESSAGE: dict[str, Any] = _RECORDING | {
    "id": 311,
    "duration_seconds": 21.5,
    "n_bytes": 344044,
    "skill_group": "Sales",
    "heard_at": None,
    "heard_by": None,
    "assigned_to": "1001",
    "called_back_at": None,
    "called_back_by": None,
}
_SENT: dict[str, Any] = {
    name: _RECORDING[name]
    for name in ("id", "state", "call_id", "recorded_at", "duration_seconds", "content_type", "n_bytes", "sha256")
}


class DiskIsFull(Overloaded):
    status_code = status.HTTP_507_INSUFFICIENT_STORAGE  # type: ignore[assignment]
    default_detail = "The disk is full. Nothing was taken; send it again later."
    wait = uploads.RETRY_SECONDS


class SpoolIsFull(Overloaded):
    default_detail = "Too many files wait for the store. Nothing was taken; send it again later."
    wait = uploads.RETRY_SECONDS


class SoundFilterSet(django_filters.FilterSet):
    call_id = django_filters.CharFilter(method="by_call_id", max_length=255, help_text="The telephony platform's ID of the call.")
    state = django_filters.ChoiceFilter(choices=AudioState.choices)
    recorded_after = MomentFilter("recorded_at", "gte", help_text="Begun at this time or later.")
    recorded_before = MomentFilter("recorded_at", "lt", help_text="Begun before this time.")

    def by_call_id(self, rows: Any, name: str, value: str) -> Any:
        account_id = self.request.user.account_id
        return rows.filter(call__account_id=account_id, call__call_key=call_key_of(account_id, value))


class MessageFilterSet(SoundFilterSet):
    heard = TruthFilter(method="by_heard")
    called_back = TruthFilter(method="by_called_back")
    assigned_to = django_filters.CharFilter("assigned_to__staff_id", max_length=40, help_text="Staff ID of the agent, whole.")
    skill_group = django_filters.CharFilter("skill_group__name", max_length=60, help_text="Name of the skill group.")

    def by_heard(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(heard_at__isnull=value == "false")

    def by_called_back(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(called_back_at__isnull=value == "false")


_ASKED = [
    OpenApiParameter("call_id", str, description="With the file as the body: the platform's ID of the call. Or `X-Call-Id`."),
    OpenApiParameter("recorded_at", str, description="When it begins, with a zone. Or `X-Recorded-At`."),
    OpenApiParameter("duration", float, description="Seconds. Or `X-Duration`."),
    OpenApiParameter("reference", str, description="What the platform calls the file. Or `X-Reference`."),
    OpenApiParameter("sha256", str, description="The file's SHA-256, in hexadecimal. Or `X-Sha256`, `Digest`, `Content-MD5`."),
]
_FILE = {"type": "string", "format": "binary"}
_BODIES = {
    "multipart/form-data": {
        "type": "object",
        "required": ["call_id", "file"],
        "properties": {
            "call_id": {"type": "string", "maxLength": 255},
            "file": _FILE,
            "recorded_at": {"type": "string", "format": "date-time"},
            "duration": {"type": "number"},
            "reference": {"type": "string", "maxLength": 2000},
            "sha256": {"type": "string"},
        },
    },
    "audio/*": _FILE,
    "application/octet-stream": _FILE,
}


def _sends(one: str) -> Any:
    return extend_schema(
        summary=f"Send a {one}",
        description=(
            "WAV, MP3, OGG or M4A, told by its content; up to 200 MB and 12 hours. As the part `file` of a form, or as the "
            "body itself with what is known of it in the query or in headers. `201`: it stands in the record. `202`: it is "
            "safe and on its way there. `200`: it had come before; sending again after an answer that was lost changes "
            "nothing. `409`: another file came under this `reference` before."
        ),
        parameters=_ASKED,
        request=_BODIES,
        responses=dict.fromkeys((200, 201, 202), SentSoundSerializer),
        examples=[OpenApiExample("Stored", value=_SENT, response_only=True, status_codes=["201"])],
    )


def _gives_link(one: str) -> Any:
    return extend_schema(
        summary=f"Get a link to a {one}",
        description=f"Good for {LINK_SECONDS} seconds and one file. Each link is in the audit log.",
        responses=SoundLinkSerializer,
        examples=[
            OpenApiExample(
                "A link", value={"url": "https://portal.example.com/api/sound/…", "expires_at": _AT}, response_only=True
            )
        ],
    )


class _SoundViewSet(AccountReadViewSet):
    kind: ClassVar[str]
    to_know_of_it: ClassVar[str]
    pagination_class = NewestFirst
    parser_classes = (
        JsonParser,
        uploads.SoundFormParser,
        uploads.SoundBodyParser,
        uploads.OggBodyParser,
        uploads.BytesBodyParser,
    )

    def get_parser_context(self, http_request: Any) -> dict[str, Any]:
        self.stack = ExitStack()  # parsers open files on it, and `take` closes them
        return super().get_parser_context(http_request) | {"stack": self.stack}

    def get_parsers(self) -> Any:
        """Files are read where files are sent, and nowhere else."""
        method = (self.request.method if self.request else None) or ""
        sends = method == "POST"
        return [parser() for parser in self.parser_classes if issubclass(parser, JsonParser) != sends]

    def take(self, request: Request) -> Response:
        with self.stack:
            try:
                return self._take(request)
            except spool.DiskFull as error:
                raise DiskIsFull from error
            except spool.SpoolFull as error:
                raise SpoolIsFull from error
            except incoming.TooManyWaiting as error:
                raise exceptions.Throttled(wait=60) from error
            except incoming.OtherFileStored as error:
                raise Conflict("Another file came under this reference before. It stays; send yours under its own.") from error

    def _take(self, request: Request) -> Response:
        upload = request.data
        if not isinstance(upload, uploads.Upload):
            upload = uploads.Upload(request.query_params.dict())  # a body of nothing is not parsed
        asked = uploads.UploadSerializer(data=dict(upload))
        asked.is_valid(raise_exception=True)
        uploads.check_sums(upload, request.headers)
        said = asked.validated_data
        if upload.part is None:
            raise exceptions.ValidationError({"file": ["Send the sound file."]})
        sender: Any = request.user
        taken = incoming.take(
            account=sender.account,
            kind=self.kind,
            call_id=said["call_id"],
            part=upload.part,
            at=timezone.now(),
            reference=said.get("reference", ""),
            recorded_at=said.get("recorded_at"),
            duration_seconds=said.get("duration"),
        )
        code = (201 if taken.audio else 202) if taken.is_new else 200
        return Response(_sent(taken, said["call_id"]), status=code)

    def give_link(self, request: Request) -> Response:
        asker: Any = request.user
        row: Recording | Voicemail = self.get_object()
        if not asker.has_perm(self.to_know_of_it) or row.state != AudioState.STORED or not row.key:
            raise Http404
        log_look(Look.LISTENED, type(row), [row.pk], actor=asker, place=f"link:{row.pk}", call=row.call_id)
        at = timezone.now()
        return Response(
            {"url": request.build_absolute_uri(link_for_programs(row)), "expires_at": at + dt.timedelta(seconds=LINK_SECONDS)},
            headers={"Cache-Control": "private, no-store"},
        )


def _sent(taken: incoming.Taken, call_id: str) -> dict[str, Any]:
    row: Any = taken.audio or taken.incoming
    return {
        "id": taken.audio.pk if taken.audio else None,
        "call_id": call_id,
        **{
            name: getattr(row, name) for name in ("state", "recorded_at", "duration_seconds", "content_type", "n_bytes", "sha256")
        },
    }


@extend_schema_view(
    list=extend_schema(
        summary="List recordings",
        description="Newest first. Follow `next` for older ones.",
        examples=[OpenApiExample("A recording", value=_RECORDING, response_only=True)],
    ),
    retrieve=extend_schema(
        summary="Show a recording", examples=[OpenApiExample("A recording", value=_RECORDING, response_only=True)]
    ),
)
class RecordingViewSet(_SoundViewSet):
    kind = SoundKind.RECORDING
    to_know_of_it = SEE_RECORDINGS
    queryset = Recording.objects.select_related("call").defer("peaks")
    serializer_class = SoundSerializer
    filterset_class = SoundFilterSet
    required_permissions = {"GET": SEE_RECORDINGS, "POST": SEND_RECORDING}

    @_sends("recording")
    @also_answers(409, 413, 415, 429, 503, 507)
    def create(self, request: Request) -> Response:
        return self.take(request)

    @_gives_link("recording")
    @action(detail=True, methods=["get"], required_permissions={"GET": LISTEN})
    def link(self, request: Request, pk: str) -> Response:
        return self.give_link(request)


@extend_schema_view(
    list=extend_schema(
        summary="List voicemail",
        description="Newest first. Follow `next` for older ones.",
        examples=[OpenApiExample("A message", value=_MESSAGE, response_only=True)],
    ),
    retrieve=extend_schema(
        summary="Show a voicemail", examples=[OpenApiExample("A message", value=_MESSAGE, response_only=True)]
    ),
)
class VoicemailViewSet(_SoundViewSet):
    kind = SoundKind.VOICEMAIL
    to_know_of_it = SEE_VOICEMAIL
    queryset = Voicemail.objects.select_related("call", "skill_group", "heard_by", "assigned_to", "called_back_by").defer("peaks")
    serializer_class = MessageSerializer
    filterset_class = MessageFilterSet
    required_permissions = {"GET": SEE_VOICEMAIL, "POST": SEND_VOICEMAIL, "PATCH": HANDLE_VOICEMAIL}

    @_sends("voicemail")
    @also_answers(409, 413, 415, 429, 503, 507)
    def create(self, request: Request) -> Response:
        return self.take(request)

    @extend_schema(
        summary="Assign a voicemail, mark it heard or called back",
        description="What the body leaves out stays as it is. Done by a key, a mark has a time and no name.",
        request=MessageChangeSerializer,
        responses=MessageSerializer,
        examples=[
            OpenApiExample("Called back", value={"called_back": True}, request_only=True),
            OpenApiExample("A message", value=_MESSAGE, response_only=True),
        ],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        asker: Any = request.user
        if not asker.has_perm(SEE_VOICEMAIL):
            raise exceptions.PermissionDenied
        asked = MessageChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        change, at = asked.validated_data, timezone.now()
        with transaction.atomic():
            row = self.get_object()
            if "assigned_to" in change:
                voicemail.assign(messages=[row], to=self._agent(change["assigned_to"]), by=asker)
            if "heard" in change:
                if change["heard"]:
                    voicemail.mark_heard(messages=[row], by=asker, at=at)
                else:
                    voicemail.mark_unheard(messages=[row])
            if "called_back" in change:
                if change["called_back"]:
                    voicemail.mark_called_back(messages=[row], by=asker, at=at)
                else:
                    voicemail.mark_not_called_back(messages=[row])
            row = self.get_queryset().filter(pk=row.pk).first()
            if row is None:
                raise exceptions.PermissionDenied("What you saved would not be yours to see, so it was not kept.")
        return Response(self.get_serializer(row).data)

    def _agent(self, staff_id: str | None) -> Agent | None:
        if staff_id is None:
            return None
        asker: Any = self.request.user
        agent: Agent | None = Agent.objects.visible_to(asker).filter(staff_id=staff_id).first()
        if agent is None:
            raise exceptions.ValidationError({"assigned_to": ["There is no such agent, or they no longer work here."]})
        return agent

    @_gives_link("voicemail")
    @action(detail=True, methods=["get"], required_permissions={"GET": LISTEN})
    def link(self, request: Request, pk: str) -> Response:
        return self.give_link(request)
