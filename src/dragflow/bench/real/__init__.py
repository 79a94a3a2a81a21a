"""A model on the published data sets: pinned settings, one table beside the paper's figures, an archive to check."""
