"""The restoration station: brings a terminal back over a wire."""
