"""What readers reach with a browser: leaving, choosing, and the editions."""
