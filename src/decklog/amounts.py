"""Amounts as people write them."""

from __future__ import annotations


def binary_size(count: float) -> str:
    """Write bytes in the units of disks and of kube-apiserver's flags: ``512 bytes``, ``1.1 GiB``, ``312 MiB``."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:,.0f} {units[0]}" if units[0] == "bytes" or value >= 100 else f"{value:.1f} {units[0]}"
