"""People, their groups and their status over the API."""

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import Count, Prefetch, Q
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.appointment import deactivate_agents, reactivate_agents
from agents.devices import CheckedTooSoon, record_check
from agents.invitations import invite
from agents.membership import require_movable
from agents.models import (
    Agent,
    AgentPhone,
    DeviceCheck,
    SkillGroup,
    SkillGroupMember,
    Status,
    StatusChange,
    email_index,
    phone_index,
)
from agents.presence import change_status, force_offline, restore_online
from agents.serializers import (
    AgentSerializer,
    AgentStatusSerializer,
    DeviceCheckSerializer,
    MembershipSerializer,
    NewDeviceCheckSerializer,
    SetStatusSerializer,
    SkillGroupSerializer,
    StatusChangeSerializer,
)
from callcenter_site.audit import Look, LooksAreLogged
from callcenter_site.filters import IdFilter, MomentFilter, SearchFilter, TruthFilter
from callcenter_site.openapi import also_answers, resource
from callcenter_site.paging import NewestFirstByTime
from callcenter_site.phone_numbers import canonical
from callcenter_site.rest import AccountReadViewSet, Deletes, PortalViewSet, RequiredPermission, finds, once, permissions_on
from configuration.access import SET_STATUS

_AT = "2026-11-24T01:00:00Z"
_STATUS = {
    "status": "available",
    "status_reason": "",
    "status_since": _AT,
    "is_online": True,
    "last_seen_at": _AT,
    "forced_offline_at": None,
}
_AGENT = {
    "id": 42,
    "staff_id": "1001",
    "email": "li.na@example.com",
    "name": "Li Na",
    "nickname": "Nana",
    "role": 4,
    "cellphone_pickup": "off",
    "phones": [{"kind": "extension", "number": "8001"}, {"kind": "mobile", "number": "+8613800138000"}],
    "memberships": [{"skill_group": 7, "priority": 1}],
    "is_active": True,
    **_STATUS,
    "created_at": _AT,
}


# --- Agents ----------------------------------------------------------------------------------------------------------


class AgentFilterSet(django_filters.FilterSet):
    staff_id = django_filters.CharFilter("staff_id", max_length=40, help_text="Whole.")
    email = django_filters.CharFilter(method="by_email", max_length=254, help_text="Whole; letter case does not count.")
    number = django_filters.CharFilter(method="by_number", max_length=60, help_text="Whole, in any written form.")
    role = IdFilter("role_id", help_text="Id of the role.")
    skill_group = IdFilter(method="by_skill_group", help_text="Id of a skill group they are in.")
    status = django_filters.ChoiceFilter(choices=Status.choices)
    is_online = TruthFilter("is_online")
    is_active = TruthFilter("is_active")

    def by_email(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(email_hash=email_index(value))

    def by_number(self, rows: Any, name: str, value: str) -> Any:
        asker: Any = self.request.user
        if not asker.has_perm("agents.view_agentphone"):
            raise PermissionDenied("You may not see phone numbers, so you cannot look for one.")
        number_hash = phone_index(canonical(value, asker.account.region), account_id=asker.account_id)
        phones = AgentPhone.objects.for_account(asker.account_id).filter(number_hash=number_hash)
        return rows.filter(pk__in=phones.order_by().values("agent_id"))

    def by_skill_group(self, rows: Any, name: str, value: int) -> Any:
        if not self.request.user.has_perm("agents.view_skillgroupmember"):
            raise PermissionDenied("You may not see who is in which skill group, so you cannot look for them by it.")
        members = SkillGroupMember.objects.visible_to(self.request.user).filter(skill_group_id=value)
        return rows.filter(pk__in=members.order_by().values("agent_id"))


@resource(
    one="agent",
    many="agents",
    example=_AGENT,
    written=["staff_id", "email", "name", "nickname", "role", "cellphone_pickup", "phones", "memberships"],
    secret={"invite": True},
    note="They come in by invitation (`invite`), or with the password you choose. A key can give only roles that see own "
    "records and let people work as agents, and roles that hold no more than the key; others are given by a person.",
    update={
        "description": "What the body leaves out goes back to what a new one starts with, but for `phones`, `memberships` and "
        "the password, which stay."
    },
    partial_update={"examples": [OpenApiExample("A move to another group", value={"memberships": [{"skill_group": 7}]})]},
)
class AgentViewSet(LooksAreLogged, PortalViewSet):
    """Who leaves is deactivated; nobody is deleted here."""

    look = Look.PERSON
    find = finds(
        AgentSerializer, many="agents", permission="agents.view_agent", example={"email": "li.na@example.com", "is_active": True}
    )
    queryset = Agent.objects.select_related("role", "account")
    serializer_class = AgentSerializer
    filterset_class = AgentFilterSet
    required_permissions = permissions_on("agents", "agent")

    def get_queryset(self) -> Any:
        return (
            super()
            .get_queryset()
            .prefetch_related(
                Prefetch("phones", queryset=AgentPhone.objects.order_by("pk")),
                Prefetch("memberships", queryset=SkillGroupMember.objects.order_by("priority", "pk")),
            )
        )

    def shows(self, request: Any) -> bool:
        return self.action in ("list", "retrieve")

    def saved(self, serializer: Any) -> Any:
        agent = super().saved(serializer)
        if serializer.invites:
            invite(agents=[agent], by=self.request.user, at=timezone.now())  # type: ignore[arg-type]
        return agent

    @extend_schema(
        summary="Deactivate an agent",
        description="Ends their sessions and takes them offline, at once. Their calls and figures stay. Not yourself, nobody who "
        "may do more than you, and not the last administrator.",
        request=None,
        responses=AgentSerializer,
        examples=[OpenApiExample("Agent", value=_AGENT | {"is_active": False, "status": "offline"}, response_only=True)],
    )
    @action(detail=True, methods=["post"], required_permissions={"POST": "agents.change_agent"})
    @also_answers(400)
    def deactivate(self, request: Request, pk: str) -> Response:
        return self._done(lambda agent, by, at: deactivate_agents(agents=[agent], by=by, at=at))

    @extend_schema(
        summary="Let a deactivated agent in again",
        request=None,
        responses=AgentSerializer,
        examples=[OpenApiExample("Agent", value=_AGENT, response_only=True)],
    )
    @action(detail=True, methods=["post"], required_permissions={"POST": "agents.change_agent"})
    @also_answers(400)
    def reactivate(self, request: Request, pk: str) -> Response:
        return self._done(lambda agent, by, at: reactivate_agents(agents=[agent], by=by))

    @extend_schema(
        summary="Send an invitation",
        description="A mail with a link to choose a password, good for three days. A newer one takes the place of an older.",
        request=None,
        responses={202: AgentSerializer},
        examples=[OpenApiExample("Agent", value=_AGENT, response_only=True, status_codes=["202"])],
    )
    @action(
        detail=True, methods=["post"], url_path="invite", url_name="invite", required_permissions={"POST": "agents.change_agent"}
    )
    @also_answers(400)
    def send_invitation(self, request: Request, pk: str) -> Response:
        answer = self._done(lambda agent, by, at: invite(agents=[agent], by=by, at=at))
        answer.status_code = status.HTTP_202_ACCEPTED
        return answer

    @extend_schema(
        summary="Take an agent offline",
        description="They stay offline, whatever they choose, until somebody lets them back.",
        request=None,
        responses=AgentSerializer,
        examples=[
            OpenApiExample(
                "Agent", value=_AGENT | {"status": "offline", "forced_offline_at": "2026-11-24T02:00:00Z"}, response_only=True
            )
        ],
    )
    @action(detail=True, methods=["post"], url_path="force-offline", required_permissions={"POST": SET_STATUS})
    def force_offline(self, request: Request, pk: str) -> Response:
        return self._done(lambda agent, by, at: force_offline(agents=[agent], by=by, at=at))

    @extend_schema(
        summary="Let an agent back who was taken offline",
        description="They choose their status themselves.",
        request=None,
        responses=AgentSerializer,
        examples=[OpenApiExample("Agent", value=_AGENT | {"status": "offline"}, response_only=True)],
    )
    @action(detail=True, methods=["post"], url_path="restore-online", required_permissions={"POST": SET_STATUS})
    def restore_online(self, request: Request, pk: str) -> Response:
        return self._done(lambda agent, by, at: restore_online(agents=[agent], by=by, at=at))

    def _done(self, act: Any) -> Response:
        with transaction.atomic():
            self.lock()
            agent = self.get_object()
            act(agent, self.request.user, timezone.now())
            return Response(self.shown(agent))


# --- Status ----------------------------------------------------------------------------------------------------------


class OwnStatusAsWell(RequiredPermission):
    """Who works at the desk sees and sets their own status, whatever they may do with that of others."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if super().has_permission(request, view):
            return True
        user: Any = request.user
        is_own = getattr(user, "pk", None) is not None and view.kwargs.get("pk") == str(user.pk)
        return is_own and user.has_perm("agents.use_desk")


class AgentStatusFilterSet(django_filters.FilterSet):
    skill_group = IdFilter(method="by_skill_group", help_text="Id of a skill group they are in.")
    status = django_filters.ChoiceFilter(choices=Status.choices)
    is_online = TruthFilter("is_online")

    by_skill_group = AgentFilterSet.by_skill_group


_NOW = {"agent": 42, "staff_id": "1001", "name": "Li Na", **_STATUS, "wrap_up_until": None, "break_after_call": False}


@extend_schema_view(
    list=extend_schema(
        operation_id="agent_statuses_list",
        summary="List where everybody stands now",
        description="Of active agents. Made for wallboards: one query a page, of up to 500 agents.",
        examples=[OpenApiExample("Available", value=_NOW, response_only=True)],
    )
)
class AgentStatusesViewSet(AccountReadViewSet):
    queryset = Agent.objects.filter(is_active=True)
    serializer_class = AgentStatusSerializer
    filterset_class = AgentStatusFilterSet
    required_permissions = {"GET": "agents.view_agent"}


@extend_schema_view(
    retrieve=extend_schema(
        operation_id="agents_status_retrieve",
        summary="Show an agent's status",
        tags=["agents"],
        examples=[OpenApiExample("Available", value=_NOW, response_only=True)],
    )
)
class AgentStatusViewSet(AccountReadViewSet):
    queryset = Agent.objects.select_related("account")
    serializer_class = AgentStatusSerializer
    permission_classes = (OwnStatusAsWell,)
    required_permissions = {"GET": "agents.view_agent", "PUT": SET_STATUS}

    @extend_schema(
        operation_id="agents_status_update",
        summary="Set an agent's status",
        description="Refused while they are taken offline by somebody; they may then only go offline. Setting what is so "
        "already changes nothing.",
        tags=["agents"],
        request=SetStatusSerializer,
        responses=AgentStatusSerializer,
        examples=[
            OpenApiExample("A break", value={"status": "break", "reason": "Training"}, request_only=True),
            OpenApiExample("On a break", value=_NOW | {"status": "break", "status_reason": "Lunch"}, response_only=True),
        ],
    )
    def update(self, request: Request, pk: str) -> Response:
        asked = SetStatusSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        agent: Agent = self.get_object()
        change_status(agent=agent, at=timezone.now(), source=self._source(agent), **asked.validated_data)
        return Response(self.get_serializer(agent).data)

    def _source(self, agent: Agent) -> str:
        asker: Any = self.request.user
        if asker.pk is None:
            return StatusChange.Source.API
        return StatusChange.Source.AGENT if asker.pk == agent.pk else StatusChange.Source.SUPERVISOR


class StatusChangeFilterSet(django_filters.FilterSet):
    agent = IdFilter("agent_id", help_text="Id of the agent.")
    staff_id = django_filters.CharFilter("agent__staff_id", max_length=40, help_text="Staff ID of the agent, whole.")
    status = django_filters.ChoiceFilter(choices=Status.choices)
    source = django_filters.ChoiceFilter(choices=StatusChange.Source.choices)
    started_after = MomentFilter("started_at", "gte", help_text="Began at this time or later.")
    started_before = MomentFilter("started_at", "lt", help_text="Began before this time.")
    open = TruthFilter("ended_at__isnull", help_text="Whether it is still so.")


@extend_schema_view(
    list=extend_schema(
        summary="List status changes",
        description="The history of every agent's status, newest first; each row ends where the agent's next one begins.",
        examples=[
            OpenApiExample(
                "A break",
                value={
                    "id": 8001,
                    "agent": 42,
                    "staff_id": "1001",
                    "status": "break",
                    "reason": "Training",
                    "terminal": "web",
                    "source": "agent",
                    "started_at": _AT,
                    "ended_at": "2026-11-24T01:30:00Z",
                },
                response_only=True,
            )
        ],
    ),
    retrieve=extend_schema(summary="Show a status change"),
)
class StatusChangeViewSet(AccountReadViewSet):
    queryset = StatusChange.objects.select_related("agent")
    serializer_class = StatusChangeSerializer
    pagination_class = NewestFirstByTime
    filterset_class = StatusChangeFilterSet
    required_permissions = {"GET": "agents.view_statuschange"}


# --- Skill groups ----------------------------------------------------------------------------------------------------


class SkillGroupFilterSet(django_filters.FilterSet):
    name = django_filters.CharFilter("name", max_length=60, help_text="Whole.")
    is_active = TruthFilter("is_active")
    search = SearchFilter("name")


@resource(
    one="skill group",
    many="skill groups",
    example={
        "id": 7,
        "name": "Sales",
        "service_level_seconds": 20,
        "short_abandon_seconds": None,
        "level_good": None,
        "level_poor": None,
        "wrap_up_seconds": 30,
        "screen_pop": 2,
        "quick_reply_group": 5,
        "is_active": True,
        "n_members": 12,
    },
    written=[
        "name",
        "service_level_seconds",
        "short_abandon_seconds",
        "level_good",
        "level_poor",
        "wrap_up_seconds",
        "screen_pop",
        "quick_reply_group",
        "is_active",
    ],
    note="Name it as the telephony platform names it: events find it by its name. A group is not deleted but set out of use.",
)
class SkillGroupViewSet(PortalViewSet):
    queryset = SkillGroup.objects.annotate(n_members=Count("memberships", filter=Q(memberships__agent__is_active=True)))
    serializer_class = SkillGroupSerializer
    filterset_class = SkillGroupFilterSet
    required_permissions = permissions_on("agents", "skillgroup")


class MembershipFilterSet(django_filters.FilterSet):
    agent = IdFilter("agent_id", help_text="Id of the agent.")
    skill_group = IdFilter("skill_group_id", help_text="Id of the skill group.")


@resource(
    one="membership",
    many="memberships",
    example={"id": 201, "skill_group": 7, "agent": 42, "priority": 1},
    written=["skill_group", "agent", "priority"],
    note="Puts an agent into a skill group.",
    partial_update={"examples": [OpenApiExample("Asked first", value={"priority": 1}, request_only=True)]},
)
class MembershipViewSet(Deletes, PortalViewSet):
    """Only its priority changes, so there is nothing to replace."""

    http_method_names = ["get", "post", "patch", "delete", "head", "options"]
    queryset = SkillGroupMember.objects.all()
    serializer_class = MembershipSerializer
    filterset_class = MembershipFilterSet
    required_permissions = permissions_on("agents", "skillgroupmember")

    def remove(self, row: SkillGroupMember) -> None:
        require_movable([row.agent], by=self.request.user)  # type: ignore[arg-type]
        super().remove(row)


# --- Device checks ---------------------------------------------------------------------------------------------------


class ChecksNewestFirst(NewestFirstByTime):
    time_field = "checked_at"


class DeviceCheckFilterSet(django_filters.FilterSet):
    agent = IdFilter("agent_id", help_text="Id of the agent.")
    result = django_filters.ChoiceFilter(choices=DeviceCheck.Result.choices)
    checked_after = MomentFilter("checked_at", "gte", help_text="Made at this time or later.")
    checked_before = MomentFilter("checked_at", "lt", help_text="Made before this time.")


_CHECK = {
    "id": 301,
    "agent": 42,
    "staff_id": "1001",
    "checked_at": _AT,
    "result": "bad",
    "advice": ["microphone_missing"],
    "advice_text": ["No microphone was found. Plug in the headset, then check again."],
    "camera": "skipped",
    "microphone": "missing",
    "speaker": "ok",
    "browser": "Softphone 4",
    "operating_system": "Windows 11",
    "network_type": "wifi",
    "round_trip_ms": 38.0,
    "downlink_mbps": 50.0,
    "address": "192.0.2.10",
}


@extend_schema_view(
    list=extend_schema(
        summary="List device checks",
        description="Newest first, of every agent you may see.",
        examples=[OpenApiExample("A microphone is missing", value=_CHECK, response_only=True)],
    ),
    retrieve=extend_schema(
        summary="Show a device check",
        examples=[OpenApiExample("A microphone is missing", value=_CHECK, response_only=True)],
    ),
)
class DeviceCheckViewSet(LooksAreLogged, AccountReadViewSet):
    look = Look.DEVICES
    queryset = DeviceCheck.objects.select_related("agent")
    serializer_class = DeviceCheckSerializer
    pagination_class = ChecksNewestFirst
    filterset_class = DeviceCheckFilterSet
    required_permissions = {"GET": "agents.view_devicecheck", "POST": "agents.add_devicecheck"}

    @extend_schema(
        summary="Add a device check",
        description="For softphones that check themselves. The result and the advice are worked out from what was found.",
        request=NewDeviceCheckSerializer,
        responses={201: DeviceCheckSerializer},
        examples=[
            OpenApiExample(
                "A microphone is missing",
                value={
                    "agent": 42,
                    "microphone": "missing",
                    "speaker": "ok",
                    "browser": "Softphone 4",
                    "operating_system": "Windows 11",
                    "network_type": "wifi",
                    "round_trip_ms": 38,
                    "downlink_mbps": 50,
                    "address": "192.0.2.10",
                },
                request_only=True,
            ),
            OpenApiExample("A microphone is missing", value=_CHECK, response_only=True, status_codes=["201"]),
        ],
    )
    @also_answers(429)
    @once
    def create(self, request: Request) -> Response:
        asked = NewDeviceCheckSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        findings = dict(asked.validated_data)
        agent, address = findings.pop("agent"), findings.pop("address", "")
        try:
            check = record_check(agent=agent, findings=findings, address=address, at=timezone.now())
        except CheckedTooSoon as error:
            raise Throttled(wait=error.wait_seconds, detail=" ".join(error.messages)) from error
        body = self.get_serializer(self.get_queryset().get(pk=check.pk)).data
        location = request.build_absolute_uri(f"{request.path}{check.pk}/")
        return Response(body, status=status.HTTP_201_CREATED, headers={"Location": location})
