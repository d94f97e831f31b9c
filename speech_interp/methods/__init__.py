"""The methods of the book: one module, one chapter."""
