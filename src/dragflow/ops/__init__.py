"""Pure functions of tensors: geometry, masks, flow; no model, no file, no state."""
