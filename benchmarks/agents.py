"""What does it cost that people's names, emails and numbers are encrypted?

Makes a throwaway database on whatever DATABASE_URL names, with an account of many agents, and asks the real agent list
through Django's test client: once as it is, once with the same columns in clear text. Prints the time of each answer
and the ratio. Exits with 1 if the list's ratio is above the limit.

    python benchmarks/agents.py [--agents 10000]
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import django

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "callcenter_site.settings")
os.environ.setdefault("LOG_LEVEL", "ERROR")
django.setup()

# ruff: noqa: E402  (models can be imported only once Django is set up)
from django.conf import settings
from django.db import connection, transaction
from django.test import Client
from django.test.utils import setup_databases, setup_test_environment, teardown_databases

from agents.models import Agent, AgentPhone, SkillGroup, SkillGroupMember, email_index, phone_index
from configuration.access import create_built_in_roles
from configuration.encryption import EncryptedTextField
from configuration.models import Account, Role

LIMIT = 1.5
ROUNDS = 15
PAGES = {
    "list": "/admin/agents/agent/",
    "list, page 150": "/admin/agents/agent/?p=150",
    "filtered": "/admin/agents/agent/?is_active__exact=1",
    "found by staff ID": "/admin/agents/agent/?q=10042",
    "found by email": "/admin/agents/agent/?q=agent42@{account}.example",
    "found by name": "/admin/agents/agent/?q=Agent+Nr+42",
}
"""Only the list is held to the limit: a name is found by opening every one of them."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=10_000)
    options = parser.parse_args()
    setup_test_environment()
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with tempfile.TemporaryDirectory() as folder:
        if connection.vendor == "sqlite":
            settings.DATABASES["default"].setdefault("TEST", {})
            connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "benchmark.sqlite3")
        made = setup_databases(verbosity=0, interactive=False)
        try:
            return measure(options.agents)
        finally:
            teardown_databases(made, verbosity=0)


def measure(n_agents: int) -> int:
    print(f"{connection.vendor}, {n_agents:,} agents, median of {ROUNDS} answers each")
    encrypted = times(make_account("encrypted", n_agents))
    with in_clear_text():
        plain = times(make_account("plain", n_agents))
    print(f"{'page':<20} {'encrypted':>10} {'clear text':>11} {'ratio':>6}")
    for page, spent in encrypted.items():
        print(f"{page:<20} {spent * 1000:8.1f}ms {plain[page] * 1000:9.1f}ms {spent / plain[page]:6.2f}")
    worst = max(encrypted[page] / plain[page] for page in ("list", "list, page 150", "filtered"))
    print(f"list: {worst:.2f} times the time of clear text (limit {LIMIT})")
    return int(worst > LIMIT)


def in_clear_text() -> Any:
    """The encrypted columns as plain ones, for as long as it is entered."""

    def write(field: Any, row: Any, add: bool) -> bytes:
        return str(row.__dict__.get(field.attname, "")).encode()

    def read(field: Any, value: Any, expression: Any, connection: Any) -> str:
        return bytes(value or b"").decode()

    return patch.multiple(EncryptedTextField, pre_save=write, from_db_value=read)


@transaction.atomic
def make_account(name: str, n_agents: int) -> Agent:
    account = Account.objects.create(name=name, slug=name)
    roles = create_built_in_roles(account)
    groups = [SkillGroup.objects.create(account=account, name=f"Group {n}") for n in range(20)]
    administrator = Agent(account=account, role=roles[Role.Kind.ADMINISTRATOR], staff_id="1", name=name)
    administrator.email = f"{name}@example.org"
    administrator.save()
    agents = []
    for n in range(n_agents):
        agent = Agent(account=account, role=roles[Role.Kind.AGENT], staff_id=f"{10_000 + n}", password="!")
        agent.name, agent.nickname, agent.email = f"Agent Nr {n}", f"Nick {n}", f"agent{n}@{name}.example"
        agent.email_hash = email_index(agent.email)
        agents.append(agent)
    Agent.objects.bulk_create(agents, batch_size=500)
    ids = list(Agent.objects.for_account(account).exclude(pk=administrator.pk).order_by("pk").values_list("pk", flat=True))
    members, phones = [], []
    for n, pk in enumerate(ids):
        members.append(SkillGroupMember(account=account, agent_id=pk, skill_group=groups[n % 20]))
        phone = AgentPhone(account=account, agent_id=pk, number=f"{20_000 + n}")
        phone.number_hash = phone_index(phone.number, account_id=account.pk)
        phones.append(phone)
    SkillGroupMember.objects.bulk_create(members, batch_size=500)
    AgentPhone.objects.bulk_create(phones, batch_size=500)
    return administrator


def times(administrator: Agent) -> dict[str, float]:
    client = Client(raise_request_exception=True)
    client.force_login(administrator, backend="agents.sign_in.RoleBackend")
    found = {}
    for page, address in PAGES.items():
        spent = []
        for _ in range(ROUNDS + 2):
            begun = time.perf_counter()
            answer = client.get(address.format(account=administrator.account.slug))
            spent.append(time.perf_counter() - begun)
            assert answer.status_code == 200, (address, answer.status_code)
        found[page] = statistics.median(spent[2:])
    return found


if __name__ == "__main__":
    sys.exit(main())
