"""Settings and wiring of the portal: the floor the apps stand on, and the roof that names them."""

try:
    import MySQLdb  # noqa: F401  (the driver Django looks for)
except ImportError:  # no compiler on this machine: the pure Python driver speaks the same protocol
    import pymysql

    pymysql.install_as_MySQLdb()

from callcenter_site.celery import app as celery_app

__all__ = ["celery_app"]
