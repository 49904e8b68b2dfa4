import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('configuration', '0004_account_key_made_under'),
    ]

    operations = [
        migrations.CreateModel(
            name='DataKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('owner', models.BigIntegerField(editable=False)),
                ('purpose', models.CharField(choices=[('data', 'encrypts values'), ('index', "keyed hashes of an account's values"), ('sign_in', 'keyed hashes of login emails')], editable=False, max_length=10)),
                ('number', models.PositiveIntegerField(default=1, editable=False)),
                ('key_id', models.CharField(editable=False, max_length=20)),
                ('wrapped_key', models.BinaryField()),
                ('made_under', models.CharField(editable=False, max_length=20)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('account', models.ForeignKey(db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='data_keys', to='configuration.account')),
            ],
            options={
                'verbose_name': 'data key',
                'verbose_name_plural': 'data keys',
                'ordering': ['owner', 'purpose', 'number'],
                'indexes': [models.Index(fields=['account'], name='data_key_account')],
                'constraints': [models.UniqueConstraint(fields=('owner', 'purpose', 'number'), name='data_key_once')],
            },
        ),
    ]
