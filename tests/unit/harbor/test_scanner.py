"""What the sections `trivy` and `metrics` come to in the chart's values.

That the chart knows these keys is shown by tests/render/, where the stand-in refuses any other.
"""

from typing import Any

import pytest

from tests.support.builders import context_of, harbor
from tests.support.mocks import RELEASE, Engine


def values(engine: Engine, certificate: str, **sections: Any) -> dict[str, Any]:
    engine.run(lambda: harbor(context_of(certificate), **sections))
    return engine.one(RELEASE)["values"]


def test_by_default_everything_is_scanned_with_databases_of_a_mirror(
    engine: Engine, sealing_certificate: str
) -> None:
    trivy = values(engine, sealing_certificate)["trivy"]
    assert trivy["enabled"] is True
    assert trivy["severity"] == "UNKNOWN,LOW,MEDIUM,HIGH,CRITICAL"
    assert trivy["vulnType"] == "os,library"
    assert trivy["ignoreUnfixed"] is False
    assert trivy["timeout"] == "5m0s"
    assert trivy["dbRepository"][0] == "mirror.gcr.io/aquasec/trivy-db"
    assert trivy["javaDBRepository"][0] == "mirror.gcr.io/aquasec/trivy-java-db"


@pytest.mark.parametrize("offline", [True, False])
def test_offline_stops_both_downloads_and_all_questions(
    engine: Engine, sealing_certificate: str, offline: bool
) -> None:
    trivy = values(engine, sealing_certificate, trivy={"offline": offline})["trivy"]
    assert {trivy["skipUpdate"], trivy["skipJavaDBUpdate"], trivy["offlineScan"]} == {offline}


def test_every_setting_reaches_the_scanner(engine: Engine, sealing_certificate: str) -> None:
    section = {
        "severity": ["HIGH", "CRITICAL"],
        "vulnTypes": ["os"],
        "ignoreUnfixed": True,
        "dbRepositories": ["mirror.example.com/trivy-db"],
        "javaDbRepositories": ["mirror.example.com/trivy-java-db"],
        "timeout": "10m0s",
        "storageSize": "20Gi",
    }
    chart = values(engine, sealing_certificate, trivy=section)
    trivy = chart["trivy"]
    assert trivy["severity"] == "HIGH,CRITICAL"
    assert trivy["vulnType"] == "os"
    assert trivy["ignoreUnfixed"] is True
    assert trivy["dbRepository"] == ["mirror.example.com/trivy-db"]
    assert trivy["javaDBRepository"] == ["mirror.example.com/trivy-java-db"]
    assert trivy["timeout"] == "10m0s"
    assert chart["persistence"]["persistentVolumeClaim"]["trivy"]["size"] == "20Gi"


@pytest.mark.parametrize("service_monitor", [True, False])
def test_metrics_are_served_when_asked_for(
    engine: Engine, sealing_certificate: str, service_monitor: bool
) -> None:
    section = {"enabled": True, "serviceMonitor": service_monitor}
    metrics = values(engine, sealing_certificate, metrics=section)["metrics"]
    assert metrics == {"enabled": True, "serviceMonitor": {"enabled": service_monitor}}


def test_neither_metrics_nor_a_scanner_that_is_switched_off(
    engine: Engine, sealing_certificate: str
) -> None:
    chart = values(engine, sealing_certificate, trivy={"enabled": False})
    assert chart["trivy"]["enabled"] is False
    assert chart["metrics"]["enabled"] is False
