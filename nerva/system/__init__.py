"""The operating system: files written whole or not at all, and signals."""
