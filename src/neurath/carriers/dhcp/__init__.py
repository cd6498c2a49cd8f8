"""DHCPv4 as a carrier: a relay in front of the site's own server, a small server of our own, and the clients' halves."""
