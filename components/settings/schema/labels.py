"""Labels and annotations of Kubernetes objects, as settings. Pure."""

from collections.abc import Mapping
from typing import Final

from components.settings.schema.rules import SettingRule, matching

_KEY: Final = matching(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-\w.]{0,61}\w)?")
_VALUE: Final = matching(r"([A-Za-z0-9]([-\w.]{0,61}[A-Za-z0-9])?)?")


def _annotations(annotations: Mapping[str, str]) -> str | None:
    bad = next((key for key in annotations if _KEY(key) is not None), None)
    return None if bad is None else f"{bad} is not the name of one"


def _labels(labels: Mapping[str, str]) -> str | None:
    for key, value in labels.items():
        if _KEY(key) is not None:
            return f"{key} is not the name of one"
        if _VALUE(value) is not None:
            return f"{value} is not the value of one"
    return None


ANNOTATIONS = SettingRule(allowed="an object of annotations", example="<value>", check=_annotations)
LABELS = SettingRule(
    allowed="an object of labels; a value has at most 63 letters, digits, '-', '_' and '.'",
    example="<value>",
    check=_labels,
)
