"""Every setting, read from the environment through `env.py`.

A service (database, Redis, object storage, broker) is in use exactly when its address is set; with nothing set the
portal runs on SQLite, files and one process.
"""

import logging
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.translation import gettext_lazy as _

from callcenter_site import env
from callcenter_site.logs import logging_settings
from callcenter_site.navigation import NAVIGATION

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env.text("VAR_DIR", str(BASE_DIR / "var")))
VAR_DIR.mkdir(parents=True, exist_ok=True)

# --- Who this is -----------------------------------------------------------------------------------------------------
DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY") or env.kept_secret(VAR_DIR / "secrets" / "secret_key", n_bytes=64)
ENCRYPTION_KEYS = env.keys("ENCRYPTION_KEYS", fallback=VAR_DIR / "secrets" / "encryption_key")
SIGNING_KEY = env.signing_key("SIGNING_KEY")  # empty: made at first use, and kept in the database under ENCRYPTION_KEYS
PUBLIC_URL = env.url("PUBLIC_URL", schemes=("http", "https"), default="http://127.0.0.1:8000").rstrip("/")
PUBLIC_URL_IS_SET = bool(env.text("PUBLIC_URL"))
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", ("127.0.0.1", "localhost", "[::1]"))
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
SECURITY_CONTACT = env.url("SECURITY_CONTACT", schemes=("https", "mailto"))

# --- The services ----------------------------------------------------------------------------------------------------
DATABASES: dict[str, dict[str, Any]] = {"default": env.database("DATABASE_URL", default=f"sqlite:///{VAR_DIR}/portal.sqlite3")}
_database = DATABASES["default"]
_database.setdefault("OPTIONS", {})
if _database["ENGINE"].endswith("sqlite3"):
    _database["OPTIONS"].update(
        timeout=20,
        transaction_mode="IMMEDIATE",
        init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;",
    )
else:
    _database["OPTIONS"].update(
        charset="utf8mb4",
        connect_timeout=3,
        read_timeout=60,
        write_timeout=60,
        isolation_level="read committed",
        init_command="SET sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', time_zone='+00:00'",
    )
    _database["CONN_HEALTH_CHECKS"] = True
    _database["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_unicode_ci"}

REDIS_URL = env.url("REDIS_URL", schemes=("redis", "rediss", "unix"))
CACHES: dict[str, dict[str, Any]]
if REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "callcenter_site.cache.PatientCache",
            "LOCATION": REDIS_URL,
            "KEY_PREFIX": env.text("REDIS_PREFIX", "portal"),
            "OPTIONS": {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
        }
    }
    DJANGO_REDIS_IGNORE_EXCEPTIONS = True  # the cache holds copies only: without Redis the portal is slower, not down
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "portal"}}

COS_BUCKET = env.text("COS_BUCKET")
if COS_BUCKET:
    _files: dict[str, Any] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": COS_BUCKET,
            "endpoint_url": env.url("COS_ENDPOINT", schemes=("http", "https")) or None,
            "region_name": env.text("COS_REGION") or None,
            "access_key": env.text("COS_SECRET_ID"),
            "secret_key": env.text("COS_SECRET_KEY"),
            "addressing_style": env.text("COS_ADDRESSING", "virtual"),
            "default_acl": None,
            "file_overwrite": False,
            "querystring_expire": 60,
            "client_config": None,
        },
    }
    from botocore.config import Config  # only a portal with a bucket pays for this import

    _files["OPTIONS"]["client_config"] = Config(
        signature_version="s3v4",
        s3={"addressing_style": _files["OPTIONS"].pop("addressing_style")},
        connect_timeout=3,
        read_timeout=10,
        retries={"max_attempts": 3, "mode": "standard"},
        # Tencent COS and other S3 stores refuse boto3's default CRC trailers.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    # Where a browser is sent to play a recording; the page must be allowed to load sound from there.
    _endpoint = urlsplit(_files["OPTIONS"]["endpoint_url"] or f"https://s3.{_files['OPTIONS']['region_name']}.amazonaws.com")
    _by_path = env.text("COS_ADDRESSING", "virtual") == "path"
    RECORDINGS_ORIGINS = [f"{_endpoint.scheme}://{'' if _by_path else COS_BUCKET + '.'}{_endpoint.netloc}"]
else:
    RECORDINGS_ORIGINS = []
    _files = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": VAR_DIR / "files"}}
STORAGES = {
    "default": _files,
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

# Without a mail server mails become files, and the pages offer their links to be handed over.
MAIL_IS_SET = bool(env.text("EMAIL_URL"))
globals().update(env.mail("EMAIL_URL", fallback=VAR_DIR / "mail"))
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.sender("DEFAULT_FROM_EMAIL", default="portal@localhost.localdomain")

# Without a broker, tasks pass through the memory of `manage.py serve`; what a stop loses, the timetable finds again.
CELERY_BROKER_URL = env.url("CELERY_BROKER_URL", schemes=("redis", "rediss", "memory"), default="memory://")
CELERY_EMBEDDED = CELERY_BROKER_URL.startswith("memory")
# In one process the worker looks for tasks by itself, by default once a second: a ringing phone cannot wait so long.
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {"polling_interval": 0.05}
if not CELERY_EMBEDDED:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "socket_timeout": 3,
        "socket_connect_timeout": 3,
        "visibility_timeout": 3600,
        "global_keyprefix": env.text("REDIS_PREFIX", "portal") + ":celery:",
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_RESULT_EXPIRES = None  # nothing to clean up, so no job for it in the timetable
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_PORTAL_STOP_SECONDS = env.integer("JOB_STOP_SECONDS", 60, minimum=1)
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "callcenter_site.timetable:TimetableScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ROUTES = {
    # Files may take minutes, in which events must not wait.
    "calls.tasks.match_keywords": {"queue": "sounds"},
    "calls.tasks.write_export": {"queue": "sounds"},
    "calls.tasks.continue_exports": {"queue": "sounds"},
    "calls.tasks.store_sounds": {"queue": "sounds"},
    "calls.tasks.fetch_sounds": {"queue": "sounds"},
    "calls.tasks.watch_recordings": {"queue": "sounds"},
    "calls.tasks.*": {"queue": "ingest"},
    "analytics.tasks.write_report": {"queue": "sounds"},
    "analytics.tasks.run_reports": {"queue": "sounds"},
    "analytics.tasks.forget_reports": {"queue": "sounds"},
    "analytics.tasks.*": {"queue": "rollup"},
    # An import may take a minute, in which events must not wait.
    "configuration.tasks.work_on_import": {"queue": "rollup"},
    "configuration.tasks.continue_imports": {"queue": "rollup"},
    "retention.tasks.*": {"queue": "retention"},
}
CELERY_TASK_DEFAULT_QUEUE = "ingest"

# --- Limits ----------------------------------------------------------------------------------------------------------
EVENT_BODY_BYTES = 1024 * 1024
BODY_BYTES = 11 * 1024 * 1024  # of any other request; a file of 10 MB with its form
BODY_STALL_SECONDS = 30
UPLOAD_PATHS = ("/api/v1/recordings", "/api/v1/voicemail")
UPLOAD_BODY_BYTES = 201 * 1024 * 1024  # of a sound file with its form, from who may send one
UPLOAD_GATE = "calls.uploads.may_send"
UPLOADS_AT_ONCE = 16
# Bodies on their way in lie on the disk that is watched, not in a folder that may be memory.
FILE_UPLOAD_TEMP_DIR = VAR_DIR / "uploads"
FILE_UPLOAD_TEMP_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
SPOOL_DIR = VAR_DIR / "spool"
SPOOL_BYTES = env.integer("SPOOL_MB", 4096, minimum=1) * 1024 * 1024
SPOOL_FILES = 10_000
RECORDINGS_DIR = env.text("RECORDINGS_DIR")
RECORDINGS_ACCOUNT = env.text("RECORDINGS_ACCOUNT")
RECORDINGS_AFTER = env.choice("RECORDINGS_AFTER", ("DELETE", "MOVE"), default="MOVE")
FETCH_NETWORKS = env.words("FETCH_NETWORKS")  # private ones that sound files may be fetched from; else public ones only
EVENT_BATCH = 1000
INBOX_MAX = env.integer("INBOX_MAX", 500_000, minimum=1)
INBOX_MAX_PER_ACCOUNT = env.integer("INBOX_MAX_PER_ACCOUNT", 100_000, minimum=1)
DISK_FREE_BYTES = env.integer("DISK_FREE_MB", 200) * 1024 * 1024
# A minute, of each; 0: without limit.
LIMIT_PER_KEY = env.integer("LIMIT_PER_KEY", 30_000)
LIMIT_PER_ACCOUNT = env.integer("LIMIT_PER_ACCOUNT", 60_000)
LIMIT_PER_ADDRESS = env.integer("LIMIT_PER_ADDRESS", 60)
SILENT_CALL_SECONDS = env.integer("SILENT_CALL_SECONDS", 4 * 3600, minimum=60)
LOOK_UP_NUMBERS = env.boolean("LOOK_UP_NUMBERS", default=True)
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

# --- Django ----------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "callcenter_site",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "callcenter_site.apps.PortalAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "auditlog",
    "axes",
    "csp",
    "django_celery_beat",
    "django_structlog",
    "django_otp",
    "storages",
    "configuration",
    "agents",
    "calls",
    "analytics",
    "retention",
]
MIDDLEWARE = [
    "callcenter_site.prometheus.RequestMetrics",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "callcenter_site.logs.RequestLog",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "configuration.scoping.AccountMiddleware",
    "agents.sign_in.SecondFactorGate",
    "callcenter_site.languages.EnglishApi",
    "callcenter_site.audit.AuditMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "callcenter_site.urls"
ASGI_APPLICATION = "callcenter_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = ["callcenter_site.formats"]

# --- Signing in ------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "agents.Agent"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "agents.sign_in.RoleBackend"]
# The login email is encrypted; its keyed hash carries the unique constraint (agents/models.py).
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("name", "nickname", "email", "staff_id")},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
SIGN_IN_VIEW = "agents.sign_in_views.SignIn"
CHANGE_PASSWORD_PAGE = "sign_in:change-password"  # noqa: S105  (the name of a page)
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
SESSION_ENGINE = "django.contrib.sessions.backends.cached_db"
# A message may name a row by its number or a person. Django's own choice is a cookie, signed but readable, in every browser.
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_COOKIE_AGE = 12 * 3600
AXES_FAILURE_LIMIT = 8
AXES_COOLOFF_TIME = 0.25  # hours
# Of one person from one address: nobody shuts out somebody else elsewhere. Trying on meanwhile does not make it longer, so
# nobody shuts out a colleague behind the same address for good.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_SENSITIVE_PARAMETERS = [
    "username",
    "ip_address",
    "code",
    "present_code",
    "email",
    "new_password1",
    "new_password2",
    "csrfmiddlewaretoken",
]
AXES_RESET_ON_SUCCESS = True
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "agents.sign_in.sign_in_name"  # a keyed hash: attempts hold no email
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
AXES_LOCKOUT_CALLABLE = "agents.sign_in_views.show_lockout"

# --- Security --------------------------------------------------------------------------------------------------------
_https = PUBLIC_URL.startswith("https://")
SECURE_SSL_REDIRECT = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 31_536_000 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _https
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, "'unsafe-eval'"],  # Alpine, which the admin theme is built on, evaluates expressions
        "style-src": [SELF, "'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "media-src": [SELF, "blob:", *RECORDINGS_ORIGINS],
        "object-src": [NONE],
        "frame-ancestors": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    "camera": ["self"],
    "microphone": ["self"],
    "geolocation": [],
    "payment": [],
    "usb": [],
}

LIVE_VIEW = "analytics.wallboard.render_view"

# --- Watching the portal -----------------------------------------------------------------------------------------------
METRICS_TOKEN = env.text("METRICS_TOKEN")
METRICS_NETWORKS = env.networks("METRICS_NETWORKS")
METRICS_DIR = Path(env.text("METRICS_DIR", str(VAR_DIR / "metrics")))
METRICS_DIR.mkdir(parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(METRICS_DIR)  # read when the library is imported: processes count together
GAUGES = [
    "callcenter_site.health.gauges",
    "callcenter_site.jobs.gauges",
    "callcenter_site.queues.gauges",
    "calls.gauges.gauges",
    "analytics.gauges.gauges",
    "retention.gauges.gauges",
]

# --- API -------------------------------------------------------------------------------------------------------------
ANSWER_ONCE = "configuration.idempotency.answer_once"
REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "callcenter_site.openapi.PortalSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "configuration.api_keys.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],  # every view of ours says what it needs: rest.py
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "EXCEPTION_HANDLER": "callcenter_site.rest.answer_error",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Call center portal",
    "DESCRIPTION": "Post call events, read service records and figures, manage people and configuration. Authenticate with "
    "`Authorization: Api-Key <key>`. Paging, filters, errors and the idempotency key are told in the guide `docs/api.md`.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    # Two hundred operations: the groups alone fit a page, with a field to find one.
    "SWAGGER_UI_SETTINGS": {"docExpansion": "none", "filter": True, "deepLinking": True, "persistAuthorization": False},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENFORCE_NON_BLANK_FIELDS": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "CallStateEnum": "calls.models.CallState",
        "OutcomeEnum": "calls.models.Outcome",
        "EntryOutcomeEnum": "calls.models.EntryOutcome",
        "AudioStateEnum": "calls.models.AudioState",
        "ExportKindEnum": "calls.models.ExportRun.Kind",
        "ExportStateEnum": "callcenter_site.file_runs.FileRun.State",
        "ReportKindEnum": "analytics.models.SavedReport.Kind",
        "WeekdayEnum": "analytics.models.WEEKDAY_CHOICES",
        "HourEnum": "analytics.models.HOUR_CHOICES",
        "SoundStateEnum": "calls.sound_serializers.SOUND_STATES",
        "CallDirectionEnum": "calls.models.Direction",
        "CallLegKindEnum": "calls.models.LegKind",
        "CallLegResultEnum": "calls.models.LegResult",
        "AgentStatusEnum": "agents.models.Status",
        "ChosenStatusEnum": "agents.serializers.CHOSEN",
        "AgentPhoneKindEnum": "agents.models.AgentPhone.Kind",
        "StatusSourceEnum": "agents.models.StatusChange.Source",
        "DevicePartEnum": "agents.models.DeviceCheck.Part",
        "DeviceResultEnum": "agents.models.DeviceCheck.Result",
        "IvrPromptKindEnum": "configuration.models.IvrPrompt.Kind",
        "RoleKindEnum": "configuration.models.Role.Kind",
        "DataScopeEnum": "configuration.models.Role.DataScope",
        "LineDirectionEnum": "configuration.models.ServiceNumber.Direction",
        "CheckedDirectionEnum": "configuration.serializers.CHECKED_DIRECTIONS",
        "BlockedItemStatusEnum": "configuration.serializers.ITEM_STATUS",
        "SeverityEnum": "configuration.models.Keyword.Severity",
        "MatchModeEnum": "configuration.models.Keyword.MatchMode",
        "ScopeEnum": "configuration.models.ApiKey.Scope",
        "SubjectKindEnum": "retention.models.requests.KINDS",
    },
}

# --- Audit and logs: ids only, nothing personal ----------------------------------------------------------------------
AUDITLOG_INCLUDE_ALL_MODELS = False
AUDITLOG_LOGENTRY_MODEL = "configuration.AuditEntry"
SENTRY_DSN = env.url("SENTRY_DSN", schemes=("http", "https"))
SENTRY_ENVIRONMENT = env.text("SENTRY_ENVIRONMENT", "production")
LOG_LEVEL = env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")
LOGGING = logging_settings(LOG_LEVEL, for_people=sys.stderr.isatty())
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
DJANGO_STRUCTLOG_TRUST_UPSTREAM_CORRELATION_ID = False  # anybody may write anything into it
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_CELERY_DEFAULT_LOG_LEVEL = logging.DEBUG  # a job runs every two seconds; failures are logged as errors

# --- Admin theme -----------------------------------------------------------------------------------------------------
UNFOLD = {
    "SITE_TITLE": _("Call center"),
    "SITE_HEADER": _("Call center"),
    "SITE_SUBHEADER": "callcenter_site.navigation.account_name",
    "SITE_URL": None,
    "SITE_SYMBOL": "support_agent",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("callcenter_site/favicon.svg")}],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_LANGUAGES": True,
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda request: static("callcenter_site/portal.css")],
    "SCRIPTS": [lambda request: static("callcenter_site/charts.js")],
    "ACCOUNT": {"navigation": [{"title": _("Your sign-in"), "link": reverse_lazy("sign_in:overview")}]},
    "SIDEBAR": {"show_search": True, "show_all_applications": False, "navigation": NAVIGATION},
}
