"""One settings file. Environments differ by environment variables, all read here, all refusing bad values.

NAME_FILE may name a file that holds NAME, for secrets mounted by compose or systemd.
"""

import logging
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

ROOT = Path(__file__).resolve().parent.parent


def text(name: str, default: str | None = None) -> str:
    """The variable, or the content of the file that NAME_FILE names."""
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as problem:
            raise ImproperlyConfigured(f"{name}_FILE={path} can't be read: {problem.strerror}") from problem
    value = os.environ.get(name) or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set; deploy/README.md says what it is for.")
    return value


def yes_or_no(name: str, default: bool) -> bool:
    value = os.environ.get(name, "")
    if value not in ("", "yes", "no"):
        raise ImproperlyConfigured(f"{name}={value!r}: write yes or no.")
    return default if value == "" else value == "yes"


def whole_number(name: str, default: int, most: int = 10**9) -> int:
    value = os.environ.get(name, "")
    if value and not (value.isdecimal() and int(value) <= most):
        raise ImproperlyConfigured(f"{name}={value!r}: write a whole number, at most {most}.")
    return int(value or default)


def key(name: str, value: str) -> str:
    """A key of 32 bytes, as make_secrets.py writes it. A wrong one must not wait for the first patient's name."""
    if not re.fullmatch("[0-9a-f]{64}", value):
        raise ImproperlyConfigured(f"{name}: a key is 64 hexadecimal digits, as `openssl rand -hex 32` prints them.")
    return value


def broker(name: str) -> str:
    value = text(name)
    if urlsplit(value).scheme not in ("redis", "rediss"):
        raise ImproperlyConfigured(f"{name} must look like redis://:password@host:6379/0.")
    return value


def log_level(name: str, default: str) -> str:
    value = text(name, default)
    if value not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(f"{name}={value!r}: write DEBUG, INFO, WARNING or ERROR.")
    return value


def postgresql(name: str) -> dict[str, object]:
    """Django's database dictionary from a postgresql:// address."""
    url = urlsplit(text(name))
    try:
        port = url.port
    except ValueError:
        port = -1
    if url.scheme not in ("postgresql", "postgres") or not url.path.strip("/") or port == -1:
        raise ImproperlyConfigured(f"{name} must look like postgresql://role:password@host:5432/database.")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.strip("/"),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": url.hostname or "",
        "PORT": str(port or ""),
        "OPTIONS": {"application_name": "lobule"},
        "CONN_HEALTH_CHECKS": True,
    }


VAR = Path(text("LOBULE_VAR", str(ROOT / "var")))
DEBUG = yes_or_no("DEBUG", False)
SECRET_KEY = text("SECRET_KEY")
ALLOWED_HOSTS = [host.strip() for host in text("ALLOWED_HOSTS", "127.0.0.1,localhost").split(",")]
CSRF_FAILURE_VIEW = "registry.views.errors.form_expired"
CSRF_TRUSTED_ORIGINS = [origin.strip() for origin in text("CSRF_TRUSTED_ORIGINS", "").split(",") if origin]
HTTPS = yes_or_no("HTTPS", True)

# How each key is used: `registry.services.identities`, `imaging.dicom.deidentify`, `registry.services.seals`.
IDENTITY_KEYS = [key("IDENTITY_KEYS", one) for one in text("IDENTITY_KEYS").split(",")]
PSEUDONYM_KEY = key("PSEUDONYM_KEY", text("PSEUDONYM_KEY"))
SEAL_KEY = key("SEAL_KEY", text("SEAL_KEY"))

INSTALLED_APPS = [
    "deploy",
    "registry",
    "crf",
    "imaging",
    "analytics",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "simple_history",
    "pgtrigger",
    "axes",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "registry.middleware.AttributeRequest",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "deploy.urls"
WSGI_APPLICATION = "deploy.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "loaders": [
                ("django.template.loaders.cached.Loader", ["django.template.loaders.filesystem.Loader"]),
            ]
            if not DEBUG
            else ["django.template.loaders.filesystem.Loader"],
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "registry.web.page_context",
            ],
        },
    },
]

# "default" is the role that owns nothing; only `migrate` uses "owner".
DATABASES = {"default": postgresql("DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = whole_number("CONN_MAX_AGE", 60)
if os.environ.get("DATABASE_OWNER_URL") or os.environ.get("DATABASE_OWNER_URL_FILE"):
    DATABASES["owner"] = postgresql("DATABASE_OWNER_URL")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PGTRIGGER_INSTALL_ON_MIGRATE = False

AUTH_USER_MODEL = "registry.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "registry:sign-in"
LOGIN_REDIRECT_URL = "registry:studies"
LOGOUT_REDIRECT_URL = "registry:sign-in"
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_LOCKOUT_TEMPLATE = "registry/locked_out.html"
AXES_RESET_ON_SUCCESS = True  # five in a row lock, as the page says
AXES_VERBOSE = False

LANGUAGE_CODE = "zh-hans"
LANGUAGES = [("zh-hans", "中文"), ("en", "English")]
TIME_ZONE = text("TIME_ZONE", "Asia/Shanghai")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [
    ("vendor/tabler", ROOT / "node_modules/@tabler/core/dist"),
    ("vendor/htmx", ROOT / "node_modules/htmx.org/dist"),
    ("vendor/echarts", ROOT / "node_modules/echarts/dist"),
]
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": text("STORAGE_FOLDER", str(VAR / "storage"))},
    },
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 2**20
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000  # a hundred rows of a group, each answer with its comment and missing reason
DATA_UPLOAD_MAX_NUMBER_FILES = 5_000

SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if yes_or_no("BEHIND_PROXY", False) else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
}

NIGHTLY_HOUR = whole_number("NIGHTLY_HOUR", 1, most=23)
CELERY_BROKER_URL = broker("CELERY_BROKER_URL")
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE = {
    "exports": {"task": "crf.tasks.discard_exports", "schedule": crontab(hour=NIGHTLY_HOUR, minute=30)},
    "imports": {"task": "crf.tasks.discard_imports", "schedule": crontab(hour=NIGHTLY_HOUR, minute=40)},
    "nightly": {"task": "analytics.tasks.nightly", "schedule": crontab(hour=NIGHTLY_HOUR, minute=0)},
}
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR / "celerybeat-schedule")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": log_level("LOG_LEVEL", "WARNING")},
}
