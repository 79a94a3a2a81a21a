"""The editing method itself: inversion, K/V, supervision, optimisation, and the orchestration in `drag`."""
