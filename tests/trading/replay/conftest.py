"""The recorded run that the tests of this folder share."""

from tests.trading.replay.recorded import reader, recorded_run

__all__ = ["reader", "recorded_run"]
