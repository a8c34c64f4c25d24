"""Dataset files: sorted tables, their content hashes, Parquet, the manifest (no Django)."""
