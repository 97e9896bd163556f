"""What the families share: derivatives that stay finite, sums that stay in one pass."""
