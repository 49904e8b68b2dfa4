from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("calls", "0009_fill_seen_by"),
    ]

    operations = [
        migrations.AddField(
            model_name="call",
            name="has_recording",
            field=models.BooleanField(default=False, verbose_name="recording"),
        ),
        migrations.AddField(
            model_name="call",
            name="has_remark",
            field=models.BooleanField(default=False, verbose_name="remark"),
        ),
        migrations.AddField(
            model_name="call",
            name="has_voicemail",
            field=models.BooleanField(default=False, verbose_name="voicemail"),
        ),
        migrations.AddField(
            model_name="call",
            name="is_location_looked_up",
            field=models.BooleanField(default=False, help_text="From the number: the platform did not say."),
        ),
        migrations.AddField(
            model_name="call",
            name="is_provider_looked_up",
            field=models.BooleanField(default=False, help_text="From the number: the platform did not say."),
        ),
        migrations.AddField(
            model_name="call",
            name="total_seconds",
            field=models.FloatField(
                default=0, help_text="From start to end; 0 while the call is open.", verbose_name="whole call"
            ),
        ),
    ]
