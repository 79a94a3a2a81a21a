"""The application, without a face: jobs over editors, and where they run. Edges parse and print; this does the work."""
