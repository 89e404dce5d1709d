"""From a window's pixels to a patch: glass, tissue, hue, intensity, encoding, slide by slide."""
