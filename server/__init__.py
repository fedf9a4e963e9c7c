"""The market data and risk server: an embedded Deephaven that publishes ticking tables.

Start it with `python3 -i server/app.py`. Its parts work without the JVM too:

    >>> from server.risk_engine import calculate_greeks
    >>> delta, gamma, theta, vega = calculate_greeks(49, strike=50, T=0.3846, r=0.05, sigma=0.2)
    >>> round(delta, 4)
    0.5216
"""
