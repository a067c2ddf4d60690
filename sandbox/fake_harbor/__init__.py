"""A fake of Harbor's API v2.0, for tests and for the sandbox, where no pod of Harbor runs.

It is no Harbor: it keeps what the API is told and answers as Harbor 2.14.3 was seen to answer
(tests/recorded/harbor-api). It stores no image, scans nothing and replicates nothing. Statuses are
those that were seen, and so are the texts of errors that were recorded; other texts are alike.
"""

from sandbox.fake_harbor.faults import Fault, Seen
from sandbox.fake_harbor.server import FakeHarbor

__all__ = ["FakeHarbor", "Fault", "Seen"]
