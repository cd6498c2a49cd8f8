"""The server's screens: pages, live data, templates; every asset is in the package."""
