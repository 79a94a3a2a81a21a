"""Published measures of drag edits: pure functions of pictures, masks and points."""
