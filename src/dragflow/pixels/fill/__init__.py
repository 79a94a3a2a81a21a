"""Ways to fill a hole from the picture around it, one to a file; `dragflow.pixels.plate` chooses among them."""
