"""The operating system: atomic writing of files, and signals."""
