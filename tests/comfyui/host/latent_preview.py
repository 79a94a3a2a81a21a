"""Previews of what runs."""

MAX_PREVIEW_RESOLUTION = 512
