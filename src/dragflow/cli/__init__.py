"""The command line: the only place that composes the edges, prints, and turns errors into exit codes."""
