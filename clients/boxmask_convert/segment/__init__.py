"""Images to label maps, without boxes."""
