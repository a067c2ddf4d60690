"""Pods of the sandbox that run: a stand-in for the kubelet, the container runtime, kube-proxy and
the network plugin, for those images of which this machine has a binary.

`control` starts and ends it, `agent` is its process, decision 22 says what it does and what not.
"""
