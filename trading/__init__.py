"""Trading: one deterministic kernel for backtests, paper trading, live trading and replay.

    from trading.instruments import Instrument
    from trading.orders import OrderRequest
    from trading.positions import Fill, LotBook

What people give and get are `Decimal`s; inside, prices, quantities and money are whole numbers of
fixed units. `trading.kernel` computes orders, fills, lots and P&L from its inputs alone.
"""
