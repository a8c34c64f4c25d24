"""Figures for papers: a result of analytics/stats and its labels in, SVG text out, the same bytes every time."""
