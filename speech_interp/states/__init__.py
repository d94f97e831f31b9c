"""What one forward pass gives: frames, states, attention, scores, alignments."""
