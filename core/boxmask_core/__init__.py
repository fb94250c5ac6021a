"""The shared vocabulary of boxmask: boxes, masks, formats, GrabCut, compositing, the model bundle."""
