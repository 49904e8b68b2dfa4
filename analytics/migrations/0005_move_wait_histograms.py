from typing import Any

from django.db import migrations
from django.db.models import IntegerField
from django.db.models.functions import Cast
from django.db.models.fields.json import KeyTextTransform
from django.utils import timezone

EDGES = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
ROWS_AT_ONCE = 20_000


def move(apps: Any, schema_editor: Any) -> None:
    """Each bucket becomes a column. Running it again writes the same."""
    columns = {
        f"n_waited_{edge}": Cast(KeyTextTransform(place, "wait_histogram"), IntegerField()) for place, edge in enumerate(EDGES)
    }
    for name in ("QueueInterval", "GroupTotal", "QueueTotal"):
        rows = apps.get_model("analytics", name).objects.exclude(wait_histogram=[])
        last = rows.order_by("-pk").values_list("pk", flat=True).first() or 0
        for first in range(0, last + 1, ROWS_AT_ONCE):
            rows.filter(pk__gte=first, pk__lt=first + ROWS_AT_ONCE).update(**columns)


def ask_for_the_new_tables(apps: Any, schema_editor: Any) -> None:
    """What was counted before is counted once more, for what nobody counted then; the fill does it bit by bit."""
    marks = apps.get_model("analytics", "FillMark").objects.all()
    marks.update(backlog_to=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("analytics", "0004_more_counts")]

    operations = [
        migrations.RunPython(move, migrations.RunPython.noop, elidable=True),
        migrations.RunPython(ask_for_the_new_tables, migrations.RunPython.noop, elidable=True),
    ]
