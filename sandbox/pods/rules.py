"""What a Pod's network lets through, as text for nft: Services, and NetworkPolicies. Pure.

As with the usual network plugins, the address of a Service is replaced by that of a Pod before a
policy looks at it. What a policy refuses is answered at once here, where most plugins say nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Manifest = Mapping[str, Any]
TABLE: Final = "sandbox_pods"
POD_RANGE: Final = "10.244.0.0/16"
"""Addresses of the Pods that run. No other leads anywhere, simulated Pods' neither: to ask one is
answered at once."""


@dataclass(frozen=True)
class Cluster:
    """What the API server holds, as far as networks depend on it."""

    pods: Sequence[Manifest] = ()
    services: Sequence[Manifest] = ()
    slices: Sequence[Manifest] = ()
    """EndpointSlices."""
    policies: Sequence[Manifest] = ()
    namespaces: Sequence[Manifest] = ()
    outside: Sequence[int] = field(default=())
    """Ports of 127.0.0.1 at which a Pod reaches what runs outside the cluster. They count as
    addresses outside the Pod, since that is what they stand for."""


def ruleset(pod: Manifest, cluster: Cluster) -> str:
    """All rules of a Pod's network namespace: text that replaces those before."""
    lines = [
        f"table inet {TABLE} {{ }}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        "  chain services {",
        "    type nat hook output priority -100",
        *(f"    {rule}" for rule in translations(cluster)),
        "  }",
    ]
    for direction in ("ingress", "egress"):
        allowed = permitted(pod, cluster, direction)
        hook, own = ("input", "iifname") if direction == "ingress" else ("output", "oifname")
        outside = ", ".join(str(port) for port in cluster.outside)
        lines += [
            f"  chain {direction} {{",
            *(f"    {rule} accept" for rule in allowed or ()),
            *(["    reject with icmpx type admin-prohibited"] if allowed is not None else []),
            "  }",
            f"  chain {hook} {{",
            f"    type filter hook {hook} priority 0",
            "    ct state established,related accept",
        ]
        if hook == "output" and outside:
            lines.append(f"    ip daddr 127.0.0.1 tcp dport {{ {outside} }} goto egress")
        lines.append(f'    {own} "lo" accept')
        if hook == "output":
            lines.append(f"    ip daddr != {POD_RANGE} reject with icmpx type no-route")
        lines += [f"    jump {direction}", "  }"]
    return "\n".join([*lines, "}", ""])


def translations(cluster: Cluster) -> list[str]:
    """Rules that lead the addresses of Services to their Pods."""
    rules: list[str] = []
    for service in cluster.services:
        for address in service["spec"].get("clusterIPs") or ():
            if address == "None" or ":" in address:
                continue
            for port in service["spec"].get("ports", ()):
                protocol = port.get("protocol", "TCP").lower()
                match = f"ip daddr {address} {protocol} dport {port['port']}"
                targets = endpoints(service, port, cluster.slices)
                if len(targets) == 1:
                    rules.append(f"{match} dnat ip to {targets[0]}")
                elif targets:
                    chosen = ", ".join(
                        f"{number} : {target.replace(':', ' . ')}"
                        for number, target in enumerate(targets)
                    )
                    rules.append(
                        f"{match} dnat ip to numgen random mod {len(targets)} map {{ {chosen} }}"
                    )
    return rules


def endpoints(service: Manifest, port: Manifest, slices: Iterable[Manifest]) -> list[str]:
    """address:port of the Pods that are ready behind a port of a Service, sorted."""
    metadata = service["metadata"]
    targets: set[str] = set()
    for piece in slices:
        labels = piece["metadata"].get("labels", {})
        if (
            piece["metadata"]["namespace"] != metadata["namespace"]
            or labels.get("kubernetes.io/service-name") != metadata["name"]
            or piece.get("addressType") != "IPv4"
        ):
            continue
        numbers = [
            each["port"]
            for each in piece.get("ports") or ()
            if each.get("name", "") == port.get("name", "")
        ]
        for endpoint in piece.get("endpoints") or ():
            if endpoint.get("conditions", {}).get("ready") is not False:
                targets |= {f"{at}:{number}" for at in endpoint["addresses"] for number in numbers}
    return sorted(targets)


def permitted(pod: Manifest, cluster: Cluster, direction: str) -> list[str] | None:
    """Matches of nft that the policies allow; None where no policy selects the Pod."""
    word = direction.capitalize()
    selecting = [
        policy
        for policy in cluster.policies
        if policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and _selects(policy["spec"].get("podSelector", {}), pod["metadata"].get("labels", {}))
        and word in _types(policy["spec"])
    ]
    if not selecting:
        return None
    side = "from" if direction == "ingress" else "to"
    matches: list[str] = []
    for policy in selecting:
        for rule in policy["spec"].get(direction) or ():
            for address in _addresses(rule.get(side), policy, cluster, direction):
                for port in _ports(rule.get("ports"), pod if direction == "ingress" else None):
                    matches.append(" ".join(filter(None, (address, port))) or "meta nfproto ipv4")
    return list(dict.fromkeys(matches))


def _types(spec: Manifest) -> list[str]:
    return spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]


def _addresses(
    peers: Iterable[Manifest] | None, policy: Manifest, cluster: Cluster, direction: str
) -> list[str]:
    """Matches of addresses; one that is empty stands for everybody."""
    if not peers:
        return [""]
    word = "ip saddr" if direction == "ingress" else "ip daddr"
    matches: list[str] = []
    for peer in peers:
        block = peer.get("ipBlock")
        if block is None:
            found = _pod_addresses(peer, policy, cluster)
            matches += [f"{word} {{ {', '.join(found)} }}"] if found else []
        elif ipaddress.ip_network(block["cidr"]).version == 4:
            match = f"{word} {block['cidr']}"
            left_out = [each for each in block.get("except") or () if ":" not in each]
            matches.append(f"{match} {word} != {{ {', '.join(left_out)} }}" if left_out else match)
    return matches


def _pod_addresses(peer: Manifest, policy: Manifest, cluster: Cluster) -> list[str]:
    own, selector = policy["metadata"]["namespace"], peer.get("namespaceSelector")
    namespaces = {own} if selector is None else {
        each["metadata"]["name"]
        for each in cluster.namespaces
        if _selects(selector, each["metadata"].get("labels", {}))
    }  # fmt: skip
    return sorted(
        {
            pod["status"]["podIP"]
            for pod in cluster.pods
            if pod["metadata"]["namespace"] in namespaces
            and ":" not in pod.get("status", {}).get("podIP", ":")
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
            and _selects(peer.get("podSelector", {}), pod["metadata"].get("labels", {}))
        }
    )


def _ports(ports: Iterable[Manifest] | None, own: Manifest | None) -> list[str]:
    """Matches of ports. A port's name is looked up in the Pod itself: for egress, it matches none,
    since the program names no port of others."""
    if not ports:
        return [""]
    matches: list[str] = []
    for port in ports:
        protocol, number = port.get("protocol", "TCP").lower(), port.get("port")
        if protocol not in ("tcp", "udp"):
            continue
        if isinstance(number, str):
            number = None if own is None else container_port(own, number)
            if number is None:
                continue
        if number is None:
            matches.append(f"meta l4proto {protocol}")
        elif "endPort" in port:
            matches.append(f"{protocol} dport {number}-{port['endPort']}")
        else:
            matches.append(f"{protocol} dport {number}")
    return matches


def container_port(pod: Manifest, port: int | str) -> int | None:
    """The number of a Pod's port, by number or name."""
    if isinstance(port, int):
        return port
    for container in pod["spec"]["containers"]:
        for each in container.get("ports", ()):
            if each.get("name") == port:
                return each["containerPort"]
    return None


def _selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_expression(each, labels) for each in selector.get("matchExpressions", ()))


def _expression(expression: Manifest, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", ())
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:  # DoesNotExist
            return value is None


def hosts(namespace: str, cluster: Cluster, *, own: str = "") -> str:
    """/etc/hosts of a Pod in `namespace`: the names of all Services, in place of a name server.

    `own`: its line for the Pod itself. A Service without an address has its Pods' addresses.
    """
    lines = ["127.0.0.1 localhost", *([own] if own else [])]
    for service in cluster.services:
        name, at = service["metadata"]["name"], service["metadata"]["namespace"]
        names = [f"{name}.{at}.svc.cluster.local", f"{name}.{at}.svc", f"{name}.{at}"]
        names += [name] if at == namespace else []
        address = service["spec"].get("clusterIP", "None")
        addresses = [address]
        if address == "None":
            ports = service["spec"].get("ports", ())
            targets = (
                target for port in ports for target in endpoints(service, port, cluster.slices)
            )
            addresses = sorted({target.partition(":")[0] for target in targets})
        lines += [f"{each} {' '.join(names)}" for each in addresses if each and ":" not in each]
    return "\n".join([*lines, ""])
