"""Hard rules: what operators know of one kind of fault. One file each; `PLUGIN = TheClass`."""
