"""What `demo_bridge.py` is made of: a desk's orders, its risk, and its dashboard."""
