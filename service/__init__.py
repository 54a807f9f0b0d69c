"""The Customer Integration Service: two exports go in, one customer master comes out.

The rooms of this package, their floors and their effects are listed in docs/architecture.md, which
``tests/test_architecture.py`` compares with the code.
"""

__version__ = "0.1.0"
