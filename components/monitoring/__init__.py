"""Monitoring: who scrapes, alerts, a dashboard, and the metrics that commands record."""
