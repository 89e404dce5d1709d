"""Slides: which there are, what OpenSlide knows of them, their scale, labels and pixels."""
