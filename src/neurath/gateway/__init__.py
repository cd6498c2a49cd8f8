"""A gateway: a carrier server at a site, which answers for its terminals from a cache and tells the server in batches."""
