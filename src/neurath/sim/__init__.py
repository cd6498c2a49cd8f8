"""The world around the product: flash that tears, power that fails, links that are slow, fleets."""
