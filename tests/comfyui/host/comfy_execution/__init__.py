"""The engine of graphs."""
