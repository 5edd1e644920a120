"""What Prometheus reads from a metrics page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.api.serving import Caller


@dataclass(frozen=True)
class Scrape:
    """One reading; a sample that is not there counts as None."""

    families: dict[str, Metric]

    def value(self, name: str, **labels: str) -> float | None:
        samples = [s for family in self.families.values() for s in family.samples]
        return next((s.value for s in samples if (s.name, s.labels) == (name, labels)), None)

    def names(self) -> set[str]:
        """All that an expression may name."""
        return {sample.name for family in self.families.values() for sample in family.samples}

    def labels(self, family: str) -> set[str]:
        return {
            label
            for sample in self.families[family].samples
            for label in sample.labels
            if label != "le"
        }


async def scrape(caller: Caller) -> Scrape:
    answer = await caller("GET", "/metrics")
    assert answer.status == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return Scrape(read(answer.text))


def read(text: str) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(text)}
