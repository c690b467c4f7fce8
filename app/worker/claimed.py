"""What claimExecution gave: an execution, in the hands of this worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Claimed:
    execution: dict[str, Any]
    lease: str
    lease_seconds: int
    last_line: int
    environment: dict[str, str]
    #: Addresses with credentials, by input and place.
    addresses: Mapping[tuple[str, int], str]

    def belongs(self) -> dict[str, str]:
        """What goes with all that is reported."""
        return {"execution": self.execution["id"], "lease": self.lease}
