"""What every component of one Sovereign is given."""

import pulumi

from components.kubernetes.naming import FIELD_MANAGER
from tests.support import builders


def test_labels_name_the_sovereign_and_the_part() -> None:
    context = builders.context_of(fqdn="otech.omani.works", options=pulumi.ResourceOptions())
    labels = context.labels("cache")
    assert labels["catalyst.openova.io/sovereign"] == "otech.omani.works"
    assert labels["app.kubernetes.io/component"] == "cache"
    assert FIELD_MANAGER["pulumi.com/patchFieldManager"] == "sovereign-harbor"
