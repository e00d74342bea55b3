"""Tells whether the worker of this container answers, by its exit status."""

from __future__ import annotations

import os
import sys
import urllib.request

port = os.environ.get("METRICS_PORT", "9464")
try:
    address = f"http://127.0.0.1:{port}/metrics"
    with urllib.request.urlopen(address, timeout=4) as answer:  # http
        found = b"redisflow_running" in answer.read()
except OSError as error:
    sys.exit(f"no metrics on port {port}: {error}")
sys.exit(0 if found else f"what listens on port {port} is no worker")
