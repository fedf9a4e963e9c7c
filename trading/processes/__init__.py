"""The processes of a desk, each of which may die alone: market, engine, exchange and API.

config = read_config("desk/run/config.json")
MarketProcess(config).run()

`python -m trading desk` brings all of them up under a supervisor.
"""
