"""Days in the shop, one file each: `PLUGIN = TheClass`, a `Day`."""
