"""Pages on which an account sets itself up, one module per kind."""

from configuration.admin import accounts, api_keys, roles, service_numbers

__all__ = ["accounts", "api_keys", "roles", "service_numbers"]
