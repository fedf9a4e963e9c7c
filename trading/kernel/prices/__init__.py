"""How ticks and bars go through the kernel: as columns, one by one where somebody listens."""
