"""What a reader sees and hears."""
