"""The headline claims of the book, each recomputed under conditions that could refute it."""
