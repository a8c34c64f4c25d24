"""The site's settings with the yardstick installed beside it, so that both answer from the same server."""

from deploy.settings import *  # noqa: F403, TID251
from deploy.settings import INSTALLED_APPS, MIDDLEWARE  # noqa: TID251

INSTALLED_APPS = [*INSTALLED_APPS, "tests.bench.plain"]
# simple-history's own way of knowing who wrote.
MIDDLEWARE = [*MIDDLEWARE, "simple_history.middleware.HistoryRequestMiddleware"]
ROOT_URLCONF = "tests.bench.plain.urls"
