import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('configuration', '0005_data_keys'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('object_repr', models.TextField(verbose_name='object representation')),
                ('serialized_data', models.JSONField(null=True)),
                ('changes', models.JSONField(null=True, verbose_name='change message')),
                ('additional_data', models.JSONField(blank=True, null=True, verbose_name='additional data')),
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('object_pk', models.CharField(max_length=255)),
                ('object_id', models.BigIntegerField(null=True)),
                ('action', models.PositiveSmallIntegerField(choices=[(0, 'create'), (1, 'update'), (2, 'delete'), (3, 'access')], verbose_name='action')),
                ('look', models.CharField(blank=True, choices=[('listened', 'listened to a recording'), ('numbers', 'saw whole numbers'), ('person', "opened a person's data"), ('phones', "saw an agent's phone numbers"), ('devices', "saw an agent's device and network data"), ('exported', 'exported rows')], default='', max_length=20)),
                ('cid', models.CharField(max_length=64, null=True, verbose_name='request')),
                ('timestamp', models.DateTimeField(default=django.utils.timezone.now, verbose_name='when')),
                ('account', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='configuration.account')),
                ('actor', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='who')),
                ('api_key', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='configuration.apikey', verbose_name='API key')),
                ('content_type', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='contenttypes.contenttype', verbose_name='kind')),
            ],
            options={
                'verbose_name': 'audit entry',
                'verbose_name_plural': 'audit entries',
                'ordering': ['-timestamp', '-pk'],
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['account', 'timestamp', 'id'], name='audit_time'), models.Index(fields=['account', 'actor', 'timestamp'], name='audit_actor'), models.Index(fields=['account', 'api_key', 'timestamp'], name='audit_api_key'), models.Index(fields=['account', 'action', 'timestamp'], name='audit_action'), models.Index(fields=['account', 'content_type', 'timestamp'], name='audit_kind'), models.Index(fields=['account', 'content_type', 'object_id'], name='audit_object')],
            },
        ),
    ]
