"""Light clients of the server: a connection that takes care of itself, and one client a desk role.

from client.base_client import DeephavenClient

with DeephavenClient() as client:
    prices = client.open_table("prices_live")
    print(prices.to_arrow())
"""
