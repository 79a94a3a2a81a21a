"""Files in and out: pictures, instructions, presets, recipes; no torch."""
