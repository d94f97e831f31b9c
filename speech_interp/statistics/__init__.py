"""What every number needs: sums, scores by layer, resampling."""
