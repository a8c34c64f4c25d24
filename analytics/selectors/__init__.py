"""Reads: the live content that a lock freezes, what stands in its way, and the frames that analyses use."""
