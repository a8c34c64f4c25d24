"""What a team would write in an afternoon: 40 typed columns, simple-history, a DRF view; no checks. The yardstick."""
