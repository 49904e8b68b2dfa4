from django.db import migrations, transaction

BATCH = 1000
ACCESS = 3
COPIED = ("content_type_id", "object_pk", "object_id", "object_repr", "action", "changes", "actor_id", "timestamp")


def move(apps, schema_editor):
    """Entries come over in batches, each moved in one transaction, so that a run that was cut off is taken up again.

    The library's own table stays, empty: its migrations make it, whatever model is in use.
    """
    connection = schema_editor.connection
    Old = apps.get_model("auditlog", "LogEntry")
    New = apps.get_model("configuration", "AuditEntry")
    Account = apps.get_model("configuration", "Account")
    ContentType = apps.get_model("contenttypes", "ContentType")
    if Old._meta.db_table not in connection.introspection.table_names():
        return
    old, new = Old.objects.using(connection.alias), New.objects.using(connection.alias)
    accounts = set(Account.objects.using(connection.alias).values_list("pk", flat=True))
    sounds = ContentType.objects.using(connection.alias).filter(app_label="calls", model__in=["recording", "voicemail"])
    heard = set(sounds.values_list("pk", flat=True))
    while rows := list(old.order_by("pk")[:BATCH]):
        with transaction.atomic(using=connection.alias):
            new.bulk_create([_moved(New, row, accounts, heard) for row in rows])
            old.filter(pk__in=[row.pk for row in rows]).delete()


def _moved(New, row, accounts, heard):
    said = dict(row.additional_data) if isinstance(row.additional_data, dict) else {}
    account_id = said.pop("account", None)
    return New(
        **{name: getattr(row, name) for name in COPIED},
        account_id=account_id if account_id in accounts else None,
        look="listened" if row.action == ACCESS and row.content_type_id in heard else "",
        additional_data=said or None,
    )


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('configuration', '0006_audit_entries'),
        ('auditlog', '0017_add_actor_email'),
    ]

    operations = [migrations.RunPython(move, migrations.RunPython.noop)]
