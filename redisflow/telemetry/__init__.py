"""Metrics, traces and logs: observers that need a library, which is imported with them.

==============  ===================================================================
`prometheus`    metrics for Prometheus, and their endpoint (extra ``metrics``)
`otel`          spans and metrics of OpenTelemetry (extra ``otel``)
`logs`          fields and JSON for the standard library's logging
`parts`         what this process takes part in: what both gauges ask
==============  ===================================================================

Importing this package imports none of them. docs/metrics.md lists what is exported.
"""
