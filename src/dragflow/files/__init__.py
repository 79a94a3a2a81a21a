"""Files in and out: pictures, instructions, ReD Bench, recipes, presets; written whole or not at all; no torch."""
