"""`manage.py doctor`: looks at a running installation from end to end. Apps add what they know when they are ready."""

from callcenter_site.doctor import address, database, jobs, machine, mail, redis_server, settings, store

__all__ = ["address", "database", "jobs", "machine", "mail", "redis_server", "settings", "store"]
