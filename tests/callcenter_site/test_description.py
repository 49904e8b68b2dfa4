"""The API's description is worked out once, and is the same however often and by whomever it is asked for."""

import json

import pytest

from callcenter_site import description

SCHEMA = "/api/schema/"


@pytest.fixture
def counted(monkeypatch):
    made = []
    base = description.SpectacularAPIView._get_schema_response
    monkeypatch.setattr(description, "_made", {})
    monkeypatch.setattr(
        description.SpectacularAPIView, "_get_schema_response", lambda view, request: made.append(1) or base(view, request)
    )
    return made


@pytest.mark.django_db
def test_it_is_worked_out_once_for_each_format(client, counted):
    first, second = client.get(SCHEMA), client.get(SCHEMA)
    assert first.status_code == second.status_code == 200 and len(counted) == 1
    assert first.content == second.content and first["Content-Type"] == second["Content-Type"]
    as_json = json.loads(client.get(SCHEMA, {"format": "json"}).content)
    assert len(counted) == 2
    assert as_json["openapi"].startswith("3.") and f"\nopenapi: {as_json['openapi']}\n" in "\n" + first.content.decode()
    assert "429" in as_json["paths"]["/api/v1/agents/"]["get"]["responses"]


@pytest.mark.django_db
def test_a_language_there_is_not_takes_no_room(client, counted):
    for language in ("en", "xx", "yy", "zz"):
        assert client.get(SCHEMA, {"format": "json", "lang": language}).status_code == 200
    assert len(description._made) == 1
