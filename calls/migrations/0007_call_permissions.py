from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('calls', '0006_voicemail_inbox'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='call',
            options={'ordering': ['-started_at', '-pk'], 'permissions': [('see_full_number', 'May see whole phone numbers'), ('change_remark', 'May edit the remarks of others'), ('screen_call', 'May ask whether a call is let in')], 'verbose_name': 'service record', 'verbose_name_plural': 'service records'},
        ),
    ]
