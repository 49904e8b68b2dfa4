from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("retention", "0011_deletion_requests")]

    operations = [migrations.AddField("purgerun", "told_at", models.DateTimeField(null=True))]
