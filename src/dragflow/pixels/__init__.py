"""Pictures as arrays: masks, instructions on a picture, preview, background plate, shadows; reads no file, no torch."""
