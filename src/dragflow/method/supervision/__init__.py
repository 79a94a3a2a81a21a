"""What tells the optimiser how far the drag has come."""
