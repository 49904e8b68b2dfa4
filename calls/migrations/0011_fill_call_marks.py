"""Fills what is new in the calls there are. Rerunnable: it sets what follows from other columns."""

from django.db import migrations
from django.db.models import Exists, OuterRef

AT_ONCE = 5000


def fill(apps, schema_editor):
    call = apps.get_model("calls", "Call")
    first = call.objects.order_by("pk").values_list("pk", flat=True).first()
    last = call.objects.order_by("-pk").values_list("pk", flat=True).first()
    if first is None:
        return
    recordings = apps.get_model("calls", "Recording").objects.filter(call_id=OuterRef("pk"))
    voicemails = apps.get_model("calls", "Voicemail").objects.filter(call_id=OuterRef("pk"))
    if schema_editor.connection.vendor == "mysql":
        length = "TIMESTAMPDIFF(MICROSECOND, started_at, ended_at) / 1000000"
    else:
        length = "ROUND((JULIANDAY(ended_at) - JULIANDAY(started_at)) * 86400, 3)"
    for start in range(first, last + 1, AT_ONCE):
        rows = call.objects.filter(pk__gte=start, pk__lt=start + AT_ONCE)
        rows.exclude(remark="").update(has_remark=True)
        rows.filter(Exists(recordings)).update(has_recording=True)
        rows.filter(Exists(voicemails)).update(has_voicemail=True)
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE calls_call SET total_seconds = {length} WHERE id >= %s AND id < %s AND ended_at IS NOT NULL",
                [start, start + AT_ONCE],
            )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("calls", "0010_call_marks"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
