"""The commands of `regimes`, one module each: its options, and what it prints."""
