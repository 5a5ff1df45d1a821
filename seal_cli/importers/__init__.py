"""What is read into a store: contexts of every format, and the release of the paper."""
