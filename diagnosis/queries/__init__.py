"""What investigation may ask. One file a query: `PLUGIN = TheClass`, see `diagnosis/_contract.py`."""
