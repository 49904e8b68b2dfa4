import configuration.encryption
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('configuration', '0008_import_chunks'),
    ]

    operations = [
        migrations.RemoveField(
            model_name='importrun',
            name='errors',
        ),
        migrations.RemoveField(
            model_name='importrun',
            name='rows',
        ),
        migrations.AddField(
            model_name='importrun',
            name='columns',
            field=models.JSONField(default=list, editable=False),
        ),
        migrations.AddField(
            model_name='importrun',
            name='language',
            field=models.CharField(default='en', editable=False, max_length=10),
        ),
        migrations.AddField(
            model_name='importrun',
            name='lease',
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name='importrun',
            name='only_if_all_good',
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name='importrun',
            name='options',
            field=models.JSONField(default=dict, editable=False),
        ),
        migrations.AddField(
            model_name='importrun',
            name='preview',
            field=configuration.encryption.EncryptedTextField(editable=False),
        ),
        migrations.AddField(
            model_name='importrun',
            name='problem',
            field=models.CharField(blank=True, editable=False, max_length=200, verbose_name='problem'),
        ),
        migrations.AddField(
            model_name='importrun',
            name='started_by',
            field=models.PositiveBigIntegerField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='n_bad',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='with errors'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='n_changed',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='changed'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='n_done',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='rows gone through'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='n_new',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='new'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='n_rows',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='rows'),
        ),
        migrations.AlterField(
            model_name='importrun',
            name='n_same',
            field=models.PositiveIntegerField(default=0, editable=False, verbose_name='unchanged'),
        ),
    ]
