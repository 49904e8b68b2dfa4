import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("configuration", "0001_initial"),
        ("calls", "0007_call_permissions"),
    ]

    operations = [
        migrations.CreateModel(
            name="CallSeenBy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "viewer",
                    models.BigIntegerField(help_text="Id of an agent; of a skill group, as a negative number."),
                ),
                ("started_at", models.DateTimeField(help_text="When the call started.")),
                (
                    "account",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="configuration.account",
                    ),
                ),
                (
                    "call",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="seen_by",
                        to="calls.call",
                    ),
                ),
            ],
            options={
                "verbose_name": "who sees a record",
                "verbose_name_plural": "who sees records",
                "indexes": [models.Index(fields=["account", "viewer", "started_at", "call"], name="seen_by_viewer")],
                "constraints": [models.UniqueConstraint(fields=("call", "viewer"), name="seen_by_once")],
            },
        ),
    ]
