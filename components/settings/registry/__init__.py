"""The section `registry`: what Harbor holds beside images. Pure."""
