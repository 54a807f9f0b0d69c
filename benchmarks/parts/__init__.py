"""The parts of the report, each a module that measures one thing and returns its figures."""
