"""What leaves: exports of the answers with their provenance, and images for the browser."""
