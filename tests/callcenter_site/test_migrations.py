"""A release goes on with the tables of the next one: new migrations add, and say in their names where they take away.

Old and new processes run side by side during an upgrade, and the way back is the old program on the new tables
(docs/production.md). So a migration that drops, renames, narrows or requires a column is a step of its own, a release
after the last that reads it, and has `contract` in its name.
"""

import re

import pytest
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.mysql.base import DatabaseWrapper
from django.db.backends.mysql.schema import DatabaseSchemaEditor
from django.db.migrations.loader import MigrationLoader
from django_migration_linter.sql_analyser.analyser import analyse_sql_statements, get_sql_analyser_class

RELEASED: dict[str, int] = {}
"""The number of each app's last migration in the last release; empty until there is one, for nothing is in use anywhere.
Filled with the heading of the release in CHANGELOG.md."""
APPS = ("callcenter_site", "configuration", "agents", "calls", "analytics", "retention")
CONTRACT = "contract"


class Dictated(DatabaseSchemaEditor):
    """Writes down what MariaDB would be told, without one: production's statements are looked at wherever the tests run."""

    def quote_value(self, value):
        return repr(value)

    def _constraint_names(self, *args, **kwargs):
        return []

    def _field_should_be_indexed(self, model, field):
        """A foreign key brings its own index; the real one asks the server for the table's engine first."""
        return BaseDatabaseSchemaEditor._field_should_be_indexed(self, model, field) and not field.remote_field


@pytest.fixture(scope="module")
def mariadb():
    wrapper = DatabaseWrapper({"NAME": "none", "OPTIONS": {}, "TIME_ZONE": None, "CONN_HEALTH_CHECKS": False}, "default")
    wrapper.__dict__["mysql_server_data"] = {
        "version": "10.11.6-MariaDB",
        "sql_mode": "STRICT_TRANS_TABLES",
        "default_storage_engine": "InnoDB",
        "sql_auto_is_null": False,
        "lower_case_table_names": False,
        "has_zoneinfo_database": True,
    }
    return wrapper


def faults_of(migration: migrations.Migration, state, mariadb) -> list[str]:
    """What of this migration a program of the release before would trip over."""
    with Dictated(mariadb, collect_sql=True, atomic=False) as editor:
        migration.apply(state, editor, collect_sql=True)
    statements = [line.strip() for line in editor.collected_sql if line.strip() and not line.startswith("--")]
    errors, _ignored, _warnings = analyse_sql_statements(get_sql_analyser_class("mysql"), statements)
    return sorted({error.code for error in errors})


def new_migrations() -> list[tuple[MigrationLoader, tuple[str, str]]]:
    loader = MigrationLoader(None)
    return [
        (loader, (app, name)) for app, name in sorted(loader.disk_migrations) if app in RELEASED and int(name[:4]) > RELEASED[app]
    ]


def test_a_release_writes_down_where_its_migrations_end():
    versions = re.findall(r"^## (\d+\.\d+\.\d+)", (settings.BASE_DIR / "CHANGELOG.md").read_text(), re.M)
    assert set(RELEASED) == (set(APPS) if versions else set())


def test_the_release_before_lives_with_every_new_migration(mariadb):
    for loader, (app, name) in new_migrations():
        migration = loader.get_migration(app, name)
        found = faults_of(migration, loader.project_state((app, name), at_end=False), mariadb)
        assert not found or CONTRACT in name, (
            f"{app} {name}: {', '.join(found)}. A process of the release before would fail on it. Give a new column "
            "null=True or db_default=…; what is dropped or renamed goes a release later, in a migration named contract_…"
        )


def test_a_step_that_contracts_stands_alone():
    """What expands is wanted at once, what contracts must wait: in one migration neither could be had without the other."""
    for loader, (app, name) in new_migrations():
        if CONTRACT in name:
            kinds = {type(operation).__name__ for operation in loader.get_migration(app, name).operations}
            assert not kinds & {"CreateModel", "AddField", "AddIndex"}, f"{app} {name}"


def made_of(*operations) -> tuple[migrations.Migration, object]:
    loader = MigrationLoader(None)
    migration = migrations.Migration("9999_tried", "agents")
    migration.operations = list(operations)
    return migration, loader.project_state()


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("skillgroup", "colour", models.CharField(max_length=20, null=True)),
        migrations.AddField("skillgroup", "colour", models.CharField(max_length=20, default="", db_default="")),
        migrations.CreateModel(
            "Shift", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField(max_length=5))]
        ),
        migrations.AddIndex("skillgroup", models.Index(fields=["wrap_up_seconds"], name="by_wrap_up")),
    ],
    ids=["nullable", "default in the database", "table", "index"],
)
def test_what_adds_is_let_through(operation, mariadb):
    assert faults_of(*made_of(operation), mariadb) == []


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (migrations.AddField("skillgroup", "colour", models.CharField(max_length=20, default="")), "NOT_NULL"),
        (migrations.RemoveField("skillgroup", "wrap_up_seconds"), "DROP_COLUMN"),
        (migrations.RenameField("skillgroup", "wrap_up_seconds", "after_call_seconds"), "RENAME_COLUMN"),
        (migrations.DeleteModel("devicecheck"), "DROP_TABLE"),
        (migrations.RenameModel("devicecheck", "devicetest"), "RENAME_TABLE"),
    ],
    ids=["required", "dropped", "renamed", "table dropped", "table renamed"],
)
def test_what_takes_away_is_found(operation, expected, mariadb):
    assert expected in faults_of(*made_of(operation), mariadb)
