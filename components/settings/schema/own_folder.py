"""The folder of this program's own objects in a bucket. Pure.

In a file without the rules of settings: the process of dynamic providers reads it at each start.
"""

from typing import Final

OWN_FOLDER: Final = ".sovereign-harbor"
"""Folder in a bucket, or below a root directory, of the objects that this program itself writes."""
