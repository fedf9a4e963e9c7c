"""Commands for ticks and bars."""
