"""What the counts hold on to."""

import pytest
from django.db.models import ProtectedError
from django.utils import timezone

from analytics.models import GroupTotal, QueueInterval
from tests.factories import SkillGroupFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("counts", [QueueInterval, GroupTotal])
def test_deleting_a_skill_group_takes_no_figures_with_it(account, counts):
    group = SkillGroupFactory(account=account)
    counts.objects.create(account=account, skill_group=group, slot=timezone.now())
    with pytest.raises(ProtectedError):
        group.delete()
    assert counts.objects.filter(skill_group=group).exists()
