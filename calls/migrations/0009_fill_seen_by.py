"""Says of the calls there are who sees them. Rerunnable: what stands there already is left out."""

from django.db import migrations

AT_ONCE = 5000

FILL = """
INSERT INTO calls_callseenby (account_id, call_id, viewer, started_at)
SELECT found.account_id, found.call_id, found.viewer, found.started_at
FROM (
    SELECT c.account_id, c.id AS call_id, l.agent_id AS viewer, c.started_at
    FROM calls_call c JOIN calls_callleg l ON l.call_id = c.id
    WHERE c.id >= %s AND c.id < %s AND l.agent_id IS NOT NULL
    UNION
    SELECT c.account_id, c.id, -e.skill_group_id, c.started_at
    FROM calls_call c JOIN calls_queueentry e ON e.call_id = c.id
    WHERE c.id >= %s AND c.id < %s AND e.skill_group_id IS NOT NULL
    UNION
    SELECT c.account_id, c.id, -c.skill_group_id, c.started_at
    FROM calls_call c
    WHERE c.id >= %s AND c.id < %s AND c.skill_group_id IS NOT NULL
) found
LEFT JOIN calls_callseenby known ON known.call_id = found.call_id AND known.viewer = found.viewer
WHERE known.id IS NULL
"""


def fill(apps, schema_editor):
    call = apps.get_model("calls", "Call")
    first = call.objects.order_by("pk").values_list("pk", flat=True).first()
    last = call.objects.order_by("-pk").values_list("pk", flat=True).first()
    if first is None:
        return
    with schema_editor.connection.cursor() as cursor:
        for start in range(first, last + 1, AT_ONCE):
            cursor.execute(FILL, [start, start + AT_ONCE] * 3)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("calls", "0008_seen_by"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
