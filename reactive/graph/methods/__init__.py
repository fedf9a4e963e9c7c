"""Methods of a class as computed values (`@computed`) and as effects (`@effect`).

- `computed.py`: the decorators, and what the computed methods of a class read
- `reader.py`: reads a simple method as an expression
- `source.py`: the source of a method, and the attributes that it reads
"""
