"""How the web process listens: `gunicorn --config deploy/gunicorn.py deploy.wsgi`."""

import gc
import os
from pathlib import Path
from typing import Any

MEMORY = Path("/dev/shm")  # noqa: S108 - heartbeats of the workers, not data

bind = os.environ.get("BIND", "127.0.0.1:8000")
# A page is all Python, so that threads of one process wait for each other: rather one process more than cores.
workers = int(os.environ.get("WEB_WORKERS", str((os.cpu_count() or 2) + 1)))
threads = int(os.environ.get("WEB_THREADS", "3"))
worker_class = "gthread"
timeout = 300  # a folder of images in one upload
graceful_timeout = 30
max_requests = 5000  # a worker that leaks is replaced
max_requests_jitter = 500
worker_tmp_dir = str(MEMORY) if MEMORY.is_dir() else None
forwarded_allow_ips = os.environ.get("PROXY_ADDRESSES", "127.0.0.1")
accesslog = "-"
# Path without its query: searches may hold a hospital number.
access_log_format = '%(h)s %(t)s "%(m)s %(U)s" %(s)s %(b)s %(L)ss'


def post_fork(_server: Any, _worker: Any) -> None:
    """What was loaded stays: no collection looks through it again, or makes its pages the worker's own."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)  # a page makes thousands of objects and leaves none behind
