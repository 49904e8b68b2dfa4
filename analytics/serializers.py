"""The shape of figures in API answers. The metrics and their descriptions come from the catalogue."""

from typing import Any

from rest_framework import serializers

from analytics.live import ACTIVITIES
from analytics.metrics import CATALOGUE, Good, Metric, Source, Unit
from analytics.reports import DIMENSIONS, LIMIT, MAX_DAYS, MOST_ROWS, PRESETS, STEPS
from callcenter_site.rest import StrictFields

_UNITS = {
    Unit.COUNT: "count",
    Unit.SECONDS: "seconds",
    Unit.RATIO: "a share from 0 to 1",
    Unit.SCORE: "a score from 0 to 5",
}


def _field(metric: Metric) -> serializers.Field[Any, Any, Any, Any]:
    text = f"{metric.label}: {metric.help} Formula: {metric.formula}. Unit: {_UNITS[metric.unit]}."
    if metric.unit is Unit.COUNT:
        return serializers.IntegerField(allow_null=True, help_text=text)
    return serializers.FloatField(allow_null=True, help_text=f"{text} Null without a denominator.")


FiguresSerializer = type(
    "FiguresSerializer",
    (serializers.Serializer,),
    {
        "__doc__": "Every metric of the catalogue. Null: nothing to divide by, or not counted under these filters.",
        **{metric.name: _field(metric) for metric in CATALOGUE},
    },
)


class MetricSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # Field has a label of its own
    unit = serializers.ChoiceField(
        source="unit.value",
        choices=[(unit.value, text) for unit, text in _UNITS.items()],
        help_text="A ratio is a share from 0 to 1, a score goes from 0 to 5.",
    )
    source = serializers.ChoiceField(  # type: ignore[assignment]  # Field has a source of its own
        source="source.value", choices=[source.value for source in Source], help_text="What is counted."
    )
    good = serializers.ChoiceField(
        source="good.value", choices=[good.value for good in Good], help_text="Which direction of a change is good news."
    )
    formula = serializers.CharField()
    help = serializers.CharField()


_NAMES = [metric.name for metric in CATALOGUE]


class QuestionSerializer(StrictFields):
    """What a report is asked: metrics by dimensions, over a period, narrowed to some values."""

    metrics = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=len(CATALOGUE),
        help_text=f"Names from `metrics/`; none: all that can be given. There are: {', '.join(_NAMES)}.",
    )
    group_by = serializers.ListField(
        child=serializers.CharField(max_length=30),
        required=False,
        max_length=len(DIMENSIONS),
        help_text=f"From {', '.join(DIMENSIONS)}; of those of time one. None: one row for the whole period.",
    )
    period = serializers.ChoiceField(choices=list(PRESETS.items()), required=False, help_text="If no days are given.")
    locals()["from"] = serializers.CharField(required=False, max_length=10, help_text="First local day: 2026-01-31.")
    to = serializers.CharField(required=False, max_length=10, help_text=f"Last local day; at most {MAX_DAYS} days.")
    direction = serializers.ListField(child=serializers.CharField(max_length=20), required=False)
    service_number = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, help_text="In any written form."
    )
    provider = serializers.ListField(child=serializers.CharField(max_length=60, allow_blank=True), required=False)
    disposition = serializers.ListField(child=serializers.CharField(max_length=60, allow_blank=True), required=False)
    skill_group = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False)
    agent = serializers.ListField(child=serializers.IntegerField(min_value=1), required=False)
    order_by = serializers.CharField(
        required=False,
        max_length=61,
        help_text="A metric asked for; with a minus the largest first. Not with a dimension of time.",
    )
    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_ROWS, help_text=f"Rows of a page. Default: {LIMIT}."
    )
    cursor = serializers.CharField(required=False, allow_blank=True, max_length=20, help_text="`next` of the page before.")
    totals = serializers.BooleanField(required=False, help_text="Adds the figures of the whole period under these filters.")


class ReportRowSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(allow_null=True, help_text="Null of an hour of the week, which is many.")
    end = serializers.DateTimeField(allow_null=True)
    group = serializers.DictField(
        help_text="By dimension: an id, a text, local time with its offset, the first day of a week, or weekday (1 is Monday) "
        "and hour. Null: not known to the portal."
    )
    figures = serializers.DictField(child=serializers.FloatField(allow_null=True), help_text="Null: nothing to divide by.")


class ReportSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    time_zone = serializers.CharField()
    counted_to = serializers.DateTimeField(allow_null=True, help_text="Everything accepted before this is in the figures.")
    rows = ReportRowSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text="Cursor of the next page; null: this is the last.")
    totals = serializers.DictField(child=serializers.FloatField(allow_null=True), allow_null=True)


class StepSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    label = serializers.CharField(  # type: ignore[assignment]  # Field has a label of its own
        help_text="Local wall time; with the offset from UTC where an hour comes twice."
    )
    figures = FiguresSerializer()


class GroupFiguresSerializer(serializers.Serializer[Any]):
    skill_group = serializers.IntegerField(allow_null=True, help_text="Null: groups in events that the portal does not know.")
    name = serializers.CharField()
    figures = FiguresSerializer()


class SummarySerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    time_zone = serializers.CharField()
    counted_to = serializers.DateTimeField(allow_null=True, help_text="Everything accepted before this is in the figures.")
    figures = FiguresSerializer()
    step = serializers.ChoiceField(choices=list(STEPS.items()), allow_null=True)
    series = StepSerializer(many=True, help_text="Empty unless a step was asked for.")
    skill_groups = GroupFiguresSerializer(many=True)


class LiveCallsSerializer(serializers.Serializer[Any]):
    started = serializers.IntegerField(help_text="Neither in an IVR, nor waiting, nor talking.")
    in_ivr = serializers.IntegerField()
    in_queue = serializers.IntegerField()
    ringing = serializers.IntegerField()
    talking = serializers.IntegerField()
    today = serializers.IntegerField(
        allow_null=True, help_text="Started since local midnight. Null for who sees less than the whole account."
    )


LiveAgentsSerializer = type(
    "LiveAgentsSerializer",
    (serializers.Serializer,),
    {
        "__doc__": "Agents by what they do; on a call goes before wrap-up, ringing, and the status they chose.",
        **{name: serializers.IntegerField(help_text=str(label)) for name, label in ACTIVITIES.items()},
    },
)


class LiveQueuesSerializer(serializers.Serializer[Any]):
    in_queue = serializers.IntegerField()
    ringing = serializers.IntegerField()
    talking = serializers.IntegerField()
    longest_wait_seconds = serializers.FloatField(allow_null=True, help_text="Of those who wait now. Null: nobody waits.")
    staffed = serializers.IntegerField(help_text="Agents who are there and not on a break.")
    available = serializers.IntegerField(help_text="Agents who can take a call now.")
    offered_today = serializers.IntegerField(help_text="Since local midnight, as the next two.")
    answered_today = serializers.IntegerField()
    abandoned_today = serializers.IntegerField()
    service_level_today = serializers.FloatField(
        allow_null=True, help_text="Whoever waits longer than the target counts against it already. Null: nothing was offered."
    )
    service_level_rolling = serializers.FloatField(allow_null=True, help_text="Of what ended in the last 30 minutes.")


class LiveGroupSerializer(LiveQueuesSerializer):
    skill_group = serializers.IntegerField()
    name = serializers.CharField()
    agents = LiveAgentsSerializer()


class LivePersonSerializer(serializers.Serializer[Any]):
    agent = serializers.IntegerField(help_text="Id of the agent.")
    activity = serializers.ChoiceField(choices=list(ACTIVITIES.items()))
    since = serializers.DateTimeField()
    reason = serializers.CharField(help_text="Of a break.")
    skill_groups = serializers.ListField(child=serializers.IntegerField())


class LiveConnectionSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    state = serializers.CharField(help_text="`connected`, `connecting`, or `silent` where nobody listens.")
    heard_at = serializers.CharField(help_text="When it last said something; empty: not yet.")


class LiveSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField(help_text="When this was true.")
    counted_to = serializers.DateTimeField(allow_null=True, help_text="Everything accepted before this is in the figures.")
    calls = LiveCallsSerializer()
    longest_wait_seconds = serializers.FloatField(allow_null=True, help_text="Of those who wait now. Null: nobody waits.")
    agents = LiveAgentsSerializer()
    queues = LiveQueuesSerializer(help_text="All skill groups that the asker sees, together.")
    skill_groups = LiveGroupSerializer(many=True)
    people = LivePersonSerializer(many=True, help_text="Empty for who may not see agents.")
    connections = LiveConnectionSerializer(many=True, help_text="What the portal listens to by itself, such as an Asterisk.")
