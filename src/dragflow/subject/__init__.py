"""What keeps a subject the same: adapters that inject the features of a picture (paper Sec. 3.4)."""
