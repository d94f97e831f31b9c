"""What serves one study."""
