"""The section `storage`: one file a kind."""
