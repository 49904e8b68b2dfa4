from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('configuration', '0003_idempotency_keys'),
    ]

    operations = [
        migrations.AddField(
            model_name='account',
            name='key_made_under',
            field=models.CharField(default='', editable=False, max_length=20),
        ),
    ]
