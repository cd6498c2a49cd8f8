"""What can be installed: releases, the images they are made of, the update files between them."""
