"""Losses that measure how far the drag has come."""
