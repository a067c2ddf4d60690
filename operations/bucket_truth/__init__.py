"""`make bucket-truth`: what lies in the bucket against what Harbor's images refer to."""
