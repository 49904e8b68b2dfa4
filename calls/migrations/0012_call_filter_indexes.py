from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0011_fill_call_marks"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "provider", "started_at"], name="call_provider"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "disposition", "started_at"], name="call_disposition"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "has_remark", "started_at"], name="call_has_remark"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "has_recording", "started_at"], name="call_has_recording"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "has_voicemail", "started_at"], name="call_has_voicemail"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "rating_asked", "rating_score", "started_at"], name="call_rating"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "talk_seconds", "started_at"], name="call_talk"),
        ),
        migrations.AddIndex(
            model_name="call",
            index=models.Index(fields=["account", "total_seconds", "started_at"], name="call_total"),
        ),
    ]
