"""Figures for Prometheus, alert rules, a dashboard, structured logs, and alerts to a webhook.

with FiguresServer(port, token, EngineFigures()):
    process.run()

`rules/trading.rules.yml` is read by Prometheus, `grafana/desk.json` by Grafana.
"""
