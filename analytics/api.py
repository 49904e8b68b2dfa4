"""Figures over the API."""

from collections.abc import Set
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import SkillGroup
from analytics import live, reports
from analytics.metrics import CATALOGUE, Source
from analytics.serializers import LiveSerializer, MetricSerializer, QuestionSerializer, ReportSerializer, SummarySerializer
from callcenter_site.phone_numbers import canonical
from callcenter_site.rest import PortalView
from calls.models import Direction
from configuration.access import SEE_AGENTS, SEE_FIGURES

_PARAMETERS = [
    OpenApiParameter("period", enum=list(reports.PRESETS), description="A period by name, if no days are given. Default: today."),
    OpenApiParameter("from", OpenApiTypes.DATE, description="First local day of the account. Default: the day of `to`."),
    OpenApiParameter(
        "to", OpenApiTypes.DATE, description=f"Last local day, included; at most {reports.MAX_DAYS} days. Default: today."
    ),
    OpenApiParameter("skill_group", OpenApiTypes.INT, description="Only this skill group: figures of its queue."),
    OpenApiParameter("direction", enum=Direction.values),
    OpenApiParameter("service_number", description="Only this number of the center, in any written form."),
    OpenApiParameter("step", enum=list(reports.STEPS), description="Adds the figures by steps of local time."),
]
_KNOWN = frozenset(parameter.name for parameter in _PARAMETERS)
_LANGUAGES = tuple(code for code, _name in settings.LANGUAGES)


class LiveView(PortalView):
    required_permissions = {"GET": SEE_FIGURES}

    @extend_schema(
        operation_id="live", summary="What goes on now", tags=["figures"], responses=LiveSerializer, parameters=[], filters=False
    )
    def get(self, request: Request) -> Response:
        """Open calls by where they are, the longest wait, agents by what they do, and how each skill group does now, today and
        over the last half hour. Worked out at most once a second, so asking more often tells nothing new. `people` names agents
        by the id that `agents/` knows; it is empty for who may not see agents."""
        actor: Any = request.user
        told = live.answer(live.now(actor=actor))
        if not actor.has_perm(SEE_AGENTS):
            told["people"] = []
        return Response(told, headers={"Cache-Control": "no-store"})


class MetricsView(PortalView):
    required_permissions = {"GET": SEE_FIGURES}

    @extend_schema(
        operation_id="metrics",
        summary="Which figures there are",
        tags=["figures"],
        responses=MetricSerializer(many=True),
        parameters=[
            OpenApiParameter("language", enum=list(_LANGUAGES), description="Of labels, formulas and help. Default: en.")
        ],
        filters=False,
    )
    def get(self, request: Request) -> Response:
        """The catalogue: every metric with its formula, unit and meaning."""
        _refuse_unknown(request, {"language"})
        language = request.query_params.get("language", "en")
        if language not in _LANGUAGES:
            raise ValidationError({"language": _("Choose one of %(known)s.") % {"known": ", ".join(_LANGUAGES)}})
        with translation.override(language):
            return Response(MetricSerializer(CATALOGUE, many=True).data)


_LISTS = ("metrics", "group_by", *reports.KEYS)


class ReportView(PortalView):
    required_permissions = {"GET": SEE_FIGURES, "POST": SEE_FIGURES}

    @extend_schema(
        operation_id="report",
        summary="Any figures, by time and by what was counted",
        tags=["figures"],
        parameters=[
            OpenApiParameter(name, OpenApiTypes.STR, description=text)
            for name, text in (
                ("metrics", "Names from `metrics/`, with commas between; none: all that can be given."),
                ("group_by", f"Of {', '.join(reports.DIMENSIONS)}, with commas between; of those of time one."),
                ("period", f"One of {', '.join(reports.PRESETS)}, if no days are given. Default: today."),
                ("from", "First local day of the account."),
                ("to", f"Last local day, included; at most {reports.MAX_DAYS} days."),
                *((name, "Only these, with commas between.") for name in reports.KEYS),
                ("order_by", "A metric asked for; with a minus the largest first. Not with a dimension of time."),
                ("limit", f"Rows of a page, at most {reports.MOST_ROWS}. Default: {reports.LIMIT}."),
                ("cursor", "`next` of the page before."),
                ("totals", "`true` adds the figures of the whole period under these filters."),
            )
        ],
        responses=ReportSerializer,
    )
    def get(self, request: Request) -> Response:
        """Metrics of the catalogue by any dimensions that they are counted by, a page of rows at a time. What lies on no
        page costs nothing. The same can be posted, with lists as lists."""
        asked: dict[str, Any] = {name: str(value) for name, value in request.query_params.items()}
        for name in _LISTS:
            if name in asked:
                asked[name] = [part.strip() for part in asked[name].split(",")]
        return self._answer(request, asked)

    @extend_schema(
        operation_id="report_post",
        summary="Any figures, asked in a body",
        tags=["figures"],
        request=QuestionSerializer,
        responses=ReportSerializer,
        parameters=[],
        examples=[
            OpenApiExample(
                "By day", value={"metrics": ["calls"], "group_by": ["day"], "period": "last_7_days"}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """As by GET. Nothing is made or kept."""
        return self._answer(request, request.data)

    def _answer(self, request: Request, data: Any) -> Response:
        asked = QuestionSerializer(data=data)
        asked.is_valid(raise_exception=True)
        actor: Any = request.user
        at = timezone.now()
        question = reports.read_question(asked.validated_data, actor=actor, account=actor.account, at=at)
        answer = reports.query(question, actor=actor)
        return Response(
            {
                "start": question.period.start,
                "end": question.period.end,
                "time_zone": actor.account.time_zone,
                "counted_to": reports.freshness(account=actor.account, at=at).counted_to,
                "rows": [
                    {"start": row.start, "end": row.end, "group": row.values, "figures": row.figures} for row in answer.rows
                ],
                "next": f"{answer.next[0]}.{answer.next[1]}" if answer.next else None,
                "totals": reports.totals(question, actor=actor) if asked.validated_data.get("totals") else None,
            }
        )


class SummaryView(PortalView):
    required_permissions = {"GET": SEE_FIGURES}

    @extend_schema(
        operation_id="summary",
        summary="Figures of a period",
        tags=["figures"],
        parameters=_PARAMETERS,
        responses=SummarySerializer,
    )
    def get(self, request: Request) -> Response:
        """Every metric of the catalogue over a period, by skill group, and on request in steps of time."""
        actor: Any = request.user
        query = {name: str(value) for name, value in request.query_params.items()}
        _refuse_unknown(request, _KNOWN)
        at = timezone.now()
        period = reports.read_period(query, zone=actor.account.zone, at=at)
        if number := query.get("service_number"):
            query["service_number"] = canonical(number, actor.account.region)
        filters = reports.read_filters(query, actor=actor)
        step = reports.read_step(query, period) if query.get("step") else None
        scope: dict[str, Any] = {"actor": actor, "filters": filters}
        steps = reports.series(period=period, step=step, **scope) if step else []
        sums = reports.total(steps) if step else reports.sum_up(period=period, **scope)
        groups = reports.by_skill_group(period=period, **scope)
        names = dict(SkillGroup.objects.visible_to(actor).values_list("pk", "name"))
        return Response(
            {
                "start": period.start,
                "end": period.end,
                "time_zone": actor.account.time_zone,
                "counted_to": reports.freshness(account=actor.account, at=at).counted_to,
                "figures": reports.figures(sums, **scope),
                "step": step,
                "series": [
                    {"start": one.start, "end": one.end, "label": one.label, "figures": reports.figures(one.sums, **scope)}
                    for one in steps
                ],
                "skill_groups": [
                    {
                        "skill_group": pk,
                        "name": names.get(pk, "") if pk is not None else "",
                        "figures": reports.figures(groups[pk], sources=[Source.QUEUES], **scope),
                    }
                    for pk in sorted(groups, key=lambda pk: (pk is None, names.get(pk, "") if pk is not None else ""))
                ],
            }
        )


def _refuse_unknown(request: Request, known: Set[str]) -> None:
    if unknown := sorted(set(request.query_params) - known):
        raise ValidationError({name: _("This parameter is not known here.") for name in unknown})
