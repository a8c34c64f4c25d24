"""How the web process listens: `gunicorn --config deploy/gunicorn.py deploy.wsgi`."""

import os
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - heartbeats of the workers, not data

bind = os.environ.get("BIND", "127.0.0.1:8000")
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
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
