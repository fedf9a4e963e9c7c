"""The trading layer: market data, strategies, orders and positions on one kernel."""
