"""What `check` hands back: findings, as a table or as an error."""

import dataclasses
from collections.abc import Iterator
from typing import Literal, TypeAlias

from lossjax.core import check
from lossjax.inspect._table import Shown, Table

Severity: TypeAlias = Literal["skipped", "ok", "note", "warning", "error"]
SEVERITIES = ("skipped", "ok", "note", "warning", "error")


class CheckError(ValueError):
    """A loss has findings of the severity that was asked for."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The answer to one question about a loss.

    ==========  ===============================================================
    `check`     the question, e.g. "edges"
    `severity`  "skipped": the question does not arise; "ok"; "note": good to
                know; "warning": wrong on some inputs; "error": wrong on
                ordinary inputs
    `cause`     what was seen, one sentence
    `fix`       what to do about it; empty where nothing is to be done
    ==========  ===============================================================
    """

    check: str
    severity: Severity
    cause: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.severity}: {self.check}: {self.cause}{' ' + self.fix if self.fix else ''}"


@dataclasses.dataclass(frozen=True, repr=False)
class Report(Shown):
    """The findings about one loss; prints as a table."""

    name: str
    source: str
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        """The worst of all findings."""
        worst = max(SEVERITIES.index(finding.severity) for finding in self.findings)
        return SEVERITIES[worst]  # type: ignore[return-value]

    def at_least(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of this severity and of worse ones."""
        check.choice("Report", "severity", severity, SEVERITIES)
        least = SEVERITIES.index(severity)
        return tuple(f for f in self.findings if SEVERITIES.index(f.severity) >= least)

    def __getitem__(self, check: str) -> Finding:
        """The worst finding of one check; KeyError where it was not made."""
        found = [finding for finding in self.findings if finding.check == check]
        if not found:
            raise KeyError(check)
        return max(found, key=lambda finding: SEVERITIES.index(finding.severity))

    def raise_if(self, severity: Severity = "error") -> None:
        """Raise `CheckError` with the findings of this severity and of worse ones, if any."""
        found = self.at_least(severity)
        if found:
            lines = "".join(f"\n  {finding}" for finding in found)
            raise CheckError(f"{self.name} on {self.source}:{lines}")

    def __repr__(self) -> str:
        counts = {s: sum(f.severity == s for f in self.findings) for s in SEVERITIES}
        return f"Report({self.name}: {', '.join(f'{n} {s}' for s, n in counts.items() if n)})"

    def tables(self) -> Iterator[Table]:
        """One row a finding, and what to do about it."""
        rows = [(f.check, f.severity, f.cause, f.fix) for f in self.findings]
        yield Table(f"{self.name} on {self.source}", ("check", "result", "seen", "fix"), rows)
