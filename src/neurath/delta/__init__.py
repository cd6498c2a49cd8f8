"""The delta engine: from two images to an update file, and (for tests) back."""
