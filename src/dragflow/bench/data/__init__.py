"""Loaders: every data set of the field gives one typed `Sample`."""
